"""`report.html` of one run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ssal.files import write_text
from ssal.report.budget import Budget
from ssal.report.images import BackboneFactory, Gallery, open_images
from ssal.report.page import render_page
from ssal.report.plots import write_charts
from ssal.report.reading import Record, read_record
from ssal.report.section import Section
from ssal.report.sections.again import again
from ssal.report.sections.agreement import agreement
from ssal.report.sections.changes import changes
from ssal.report.sections.checks import checks
from ssal.report.sections.confusion import confusion
from ssal.report.sections.groups import BranchGroups, Card, groups
from ssal.report.sections.results import results
from ssal.report.sections.training import training
from ssal.report.sections.trust import trust
from ssal.report.tiles import tiles
from ssal.report.words import summarise_run

# Characters of pictures; with everything else the page stays under 3 MB.
_CHANGES, _GROUPS = 700_000, 800_000


def sections(record: Record, gallery: Gallery) -> list[Section]:
    """Everything that the run has data for, in the order of the page."""
    found = [
        results(record),
        changes(record, gallery, Budget(_CHANGES)),
        groups(record, gallery, Budget(_GROUPS)),
        confusion(record),
        agreement(record),
        trust(record),
        checks(record),
        training(record),
        again(record),
    ]
    return [section for section in found if section is not None]


def look_alikes(found: Sequence[Section]) -> Card | None:
    """The group with the largest share of the confusion, of the branch with the fewest groups."""
    branches: list[BranchGroups] = [
        branch
        for section in found
        if section.anchor == "groups"
        for branch in section.content["branches"]
        if branch.cards and branch.share
    ]
    if not branches:
        return None
    return min(branches, key=lambda branch: branch.num_groups).cards[0]


def write_report(path: Path, out: Path | None = None, *, backbone: BackboneFactory | None = None) -> Path:
    """Write the report of a finished run: one HTML file that needs no network and no other file.

    The same run gives the same bytes.

    Args:
        path: the run directory.
        out: the file; if None `report.html` in the run, whose charts are then files in its `plots/` as well.
        backbone: function from `num_classes` to the backbone, where it is no named network.

    Returns:
        The file.

    Raises:
        RunError: there is no run, it is not finished, or its settings or metrics cannot be read.
        OSError: the file cannot be written; it is then as it was.
    """
    record = read_record(path)
    gallery = open_images(record, backbone)
    found = sections(record, gallery)
    html = render_page(
        "report.html",
        record=record,
        look_alikes=look_alikes(found),
        summary=summarise_run(record),
        tiles=tiles(record),
        sections=found,
        without_images=gallery.reason,
    )
    target = out or record.path / "report.html"
    write_text(target, html)
    if out is None:
        write_charts(html, record.path / "plots")
    return target
