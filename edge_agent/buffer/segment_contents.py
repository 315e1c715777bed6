"""A segment's fragments and samples as they grow, for whoever writes or scans its file."""

from dataclasses import replace

from edge_agent.buffer.fragment_boxes import MovieFragment, MovieHeader
from edge_agent.buffer.fragment_table import FragmentEntry, FragmentTable
from edge_agent.buffer.segment import SampleTable, SegmentInfo
from edge_agent.contract.access_unit import CodecConfig
from edge_agent.contract.segment_format import SegmentHeader


class SegmentContents:
    """Collects fragments in order; `info` is a snapshot that later fragments do not change."""

    def __init__(self, file: str, header: SegmentHeader, header_bytes: int, movie: MovieHeader) -> None:
        config = CodecConfig(movie.codec, movie.extradata, movie.width_px, movie.height_px, header.frame_rate_fps)
        self._empty = SegmentInfo(
            sequence=header.sequence,
            file=file,
            header=header,
            header_bytes=header_bytes,
            config=config,
            stsd=movie.stsd,
            fragments=FragmentTable(header.sequence, header.run_id),
            samples=SampleTable(),
            closed=False,
        )
        self.entries = FragmentTable(header.sequence, header.run_id)
        self._ends_90k: list[int] = []
        self._samples = SampleTable()

    @property
    def header_bytes(self) -> int:
        """Where the first fragment begins."""
        return self._empty.header_bytes

    @property
    def last_number(self) -> int:
        """Number of the last fragment; 0 before the first."""
        return self.entries.numbers[-1] if self.entries else 0

    @property
    def last_dts_90k(self) -> int:
        """Decode time of the last sample; -1 before the first."""
        return self._samples.dts_90k[-1] if self.entries else -1

    def add(self, entry: FragmentEntry, fragment: MovieFragment) -> None:
        """Append a fragment."""
        samples = self._samples
        first = len(samples)
        samples.sizes_bytes.extend(fragment.sizes_bytes)
        samples.dts_90k.extend(fragment.dts_90k)
        samples.pts_90k.extend(fragment.pts_90k)
        samples.key_indices.extend(first + index for index in fragment.keys)
        self.entries.append(entry)
        self._ends_90k.append(fragment.end_90k)

    def drop_after(self, fragments: int) -> None:
        """Forget all but the first fragments."""
        self._samples = self._table(fragments)
        del self.entries[fragments:]
        del self._ends_90k[fragments:]

    def info(self, fragments: int, *, closed: bool) -> SegmentInfo:
        """The segment up to that many fragments."""
        return replace(self._empty, fragments=self.entries[:fragments], samples=self._table(fragments), closed=closed)

    def _table(self, fragments: int) -> SampleTable:
        count = sum(self.entries.samples[:fragments])
        all_samples = self._samples
        keys = all_samples.key_indices
        return SampleTable(
            sizes_bytes=all_samples.sizes_bytes[:count],
            dts_90k=all_samples.dts_90k[:count],
            pts_90k=all_samples.pts_90k[:count],
            key_indices=keys[: sum(1 for key in keys if key < count)],
            end_90k=self._ends_90k[fragments - 1] if fragments else 0,
        )
