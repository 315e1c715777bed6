"""Ends a process before each of its changes to the file system in turn, and looks at what it left.

`python -m tests.faults.clip_cuts DIRECTORY` prints how many places each operation was cut at; a broken promise is a
failed assertion. In a program of its own because it forks.
"""

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from edge_agent.buffer.clip import store
from edge_agent.buffer.clip.reader import PartReader
from edge_agent.buffer.clip.save import save_clip
from edge_agent.contract.clip import ClipPlan
from edge_agent.contract.jws import SigningKey
from edge_agent.evidence.keys import load_or_create_unit_key, unit_key_file
from tests.support.clips import CLIP_ID, make_part, make_plan

CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.truncate"}
CUT = 9
HEADERS = [b"header one", b"the second header"]
FOOTAGE = bytes(range(256)) * 20
KEY = SigningKey.generate()


def cut_before(step: int, operation: Callable[[], object]) -> bool:
    """Run the operation in a child that dies before its `step`th change; False when it lived to the end."""
    child = os.fork()
    if child == 0:
        seen = 0

        def watch(event: str, arguments: tuple[object, ...]) -> None:
            nonlocal seen
            writes = event == "open" and bool(int(str(arguments[2])) & (os.O_WRONLY | os.O_RDWR))
            if writes or event in CHANGES:
                seen += 1
                if seen == step:
                    os._exit(CUT)

        sys.addaudithook(watch)
        operation()
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in {0, CUT}, code
    return code == CUT


class Scene:
    """A ring with one file, and a plan of two parts over it."""

    def __init__(self, root: Path) -> None:
        self.ring = root / "ring"
        self.plans = self.ring / "plans"
        self.out = root / "out"
        self.plans.mkdir(parents=True)
        (self.ring / "1.mp4").write_bytes(FOOTAGE)
        pieces = [("1.mp4", 100, 2_000), ("1.mp4", 3_000, 1_000)]
        parts = [
            make_part(header, [piece], index + 1, header_offset=sum(map(len, HEADERS[:index])))
            for index, (header, piece) in enumerate(zip(HEADERS, pieces, strict=True))
        ]
        self.plan = make_plan(tuple(parts))
        self.reserved = make_plan(())

    def write(self) -> None:
        store.write_plan(self.plans, self.plan, HEADERS)

    def reserve(self) -> None:
        store.write_plan(self.plans, self.reserved)

    def bytes_of(self, index: int) -> bytes:
        with PartReader(self.ring, store.plan_path(self.plans, CLIP_ID), self.plan.parts[index]) as reader:
            return reader.read(0, reader.length_bytes)

    def check_plan(self, *allowed: ClipPlan | None) -> None:
        """What is listed is one of these plans, whole; what is not listed is swept."""
        found = store.read_plan(store.plan_path(self.plans, CLIP_ID)) if store.list_plans(self.plans) else None
        assert found in allowed, found
        if found == self.plan:
            assert [self.bytes_of(0), self.bytes_of(1)] == [
                HEADERS[0] + FOOTAGE[100:2_100],
                HEADERS[1] + FOOTAGE[3_000:4_000],
            ]
        if found is None:
            store.sweep_unfinished(self.plans)
            assert list(self.plans.iterdir()) == []


def try_write(scene: Scene, step: int) -> bool:
    cut = cut_before(step, scene.write)
    scene.check_plan(None, scene.plan)
    scene.write()
    scene.check_plan(scene.plan)
    return cut


def try_replace(scene: Scene, step: int) -> bool:
    scene.reserve()
    cut = cut_before(step, scene.write)
    scene.check_plan(scene.reserved, scene.plan)
    scene.write()
    scene.check_plan(scene.plan)
    return cut


def try_remove(scene: Scene, step: int) -> bool:
    scene.write()
    cut = cut_before(step, lambda: store.remove_plan(scene.plans, CLIP_ID))
    whole = bool(store.list_plans(scene.plans))
    if whole:
        scene.check_plan(scene.plan)
    assert store.remove_plan(scene.plans, CLIP_ID) == whole
    assert list(scene.plans.iterdir()) == []
    return cut


def try_save(scene: Scene, step: int) -> bool:
    scene.write()
    plan_file = store.plan_path(scene.plans, CLIP_ID)
    cut = cut_before(step, lambda: save_clip(scene.plan, scene.ring, plan_file, scene.out, KEY))
    names = [part.file_name for part in scene.plan.parts]
    there = [(scene.out / name).exists() for name in names]
    for index, name in enumerate(names):
        assert not there[index] or (scene.out / name).read_bytes() == scene.bytes_of(index)
    assert not (scene.out / "manifest.jws").exists() or all(there)
    return cut


def try_key(scene: Scene, step: int) -> bool:
    data_dir = scene.ring
    cut = cut_before(step, lambda: load_or_create_unit_key(data_dir))
    path = unit_key_file(data_dir)
    before = hashlib.sha256(path.read_bytes()).digest() if path.exists() else None
    load_or_create_unit_key(data_dir)
    assert before in {None, hashlib.sha256(path.read_bytes()).digest()}
    return cut


OPERATIONS: dict[str, Callable[[Scene, int], bool]] = {
    "write": try_write,
    "replace": try_replace,
    "remove": try_remove,
    "save": try_save,
    "key": try_key,
}


def main(directory: Path) -> int:
    """Cut each operation before its first, second, … change until it lives to its end."""
    places: dict[str, int] = {}
    for name, attempt in OPERATIONS.items():
        step = 1
        while attempt(Scene(directory / name / str(step)), step):
            step += 1
        places[name] = step - 1
        shutil.rmtree(directory / name)
    sys.stdout.write(json.dumps(places))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
