from csu.feed import TOO_SLOW, Feed


async def test_a_watcher_that_does_not_keep_up_is_cut_off_and_others_are_not() -> None:
    feed = Feed()
    with feed.watch() as slow, feed.watch() as quick:
        read = []
        for number in range(600):
            feed.publish({"n": number})
            read.append(quick.get_nowait())
        assert [item["n"] for item in read if item is not None] == list(range(600))
        items = [slow.get_nowait() for _ in range(slow.qsize())]
        assert items[-2:] == [TOO_SLOW, None]
        assert len(items) == 500


async def test_everyone_is_told_the_end() -> None:
    feed = Feed()
    with feed.watch() as queue:
        feed.publish({"n": 1})
        feed.close()
        assert [queue.get_nowait(), queue.get_nowait()] == [{"n": 1}, None]


async def test_nobody_is_told_after_leaving() -> None:
    feed = Feed()
    with feed.watch() as queue:
        pass
    feed.publish({"n": 1})
    assert queue.empty()
