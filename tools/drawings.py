"""Draws the concept drawings of the documentation: `python tools/drawings.py docs/drawings`."""

import sys
from pathlib import Path
from xml.sax.saxutils import escape

INK, SOFT, LINE, PAPER = "#1b2330", "#5d6a7e", "#aab4c3", "#f5f7fa"
KEPT, LOST, MARK = "#2b7a5a", "#c3cad6", "#2557c7"
FONT = 'font-family="system-ui, sans-serif"'


def text(x: float, y: float, words: str, size: int = 14, fill: str = INK, end: str = "") -> str:
    """Words at a place; `end`: middle or end, if they do not begin there."""
    anchor = f' text-anchor="{end}"' if end else ""
    return f'<text x="{x}" y="{y}" font-size="{size}" fill="{fill}" {FONT}{anchor}>{escape(words)}</text>'


def box(x: float, y: float, w: float, h: float, fill: str = PAPER, line: str = LINE) -> str:
    """A box with rounded corners."""
    return f'<rect x="{x}" y="{y}" width="{w}" height="{h}" rx="6" fill="{fill}" stroke="{line}"/>'


def arrow(x1: float, y1: float, x2: float, y2: float) -> str:
    """An arrow from one place to another."""
    return (
        f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{SOFT}" stroke-width="1.5" '
        'marker-end="url(#head)"/>'
    )


def drawing(width: int, height: int, title: str, *parts: str) -> str:
    """The whole file."""
    head = (
        '<defs><marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" '
        f'markerHeight="7" orient="auto"><path d="M0 0L10 5L0 10z" fill="{SOFT}"/></marker></defs>'
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">'
        f'<title>{escape(title)}</title><rect width="{width}" height="{height}" fill="#fff"/>'
        f"{head}{''.join(parts)}</svg>\n"
    )


def rows_and_columns() -> str:
    """Rows stay, stages add columns."""
    parts = []
    columns = [("url, text", 20), ("width, height", 170), ("clip_score", 320), ("caption", 470)]
    for i, (name, x) in enumerate(columns):
        parts.append(text(x + 65, 30, name, end="middle"))
        for r in range(5):
            known = i == 0 or (not (r == 1 and i > 1) and not (r == 3 and i > 2))
            parts.append(box(x, 44 + 30 * r, 130, 24, "#d9efe5" if known else "#fff"))
    parts.append(
        text(20, 220, "A stage writes new columns of the same rows. Nothing is edited or", 13, SOFT)
    )
    parts.append(
        text(20, 238, "deleted; rows that a gate stopped are not computed any further.", 13, SOFT)
    )
    return drawing(620, 250, "Rows stay; stages add columns", *parts)


def gates() -> str:
    """Every row ends as kept, dropped, missing or failed."""
    steps = [("source", 400, ""), ("text_rules", 319, "41 dropped"), ("clip", 252, "67 dropped")]
    parts = []
    for i, (name, kept, lost) in enumerate(steps):
        y = 24 + 62 * i
        parts += [text(20, y + 16, name), text(20, y + 34, lost, 12, SOFT)]
        parts.append(f'<rect x="140" y="{y}" width="400" height="26" fill="{LOST}"/>')
        parts.append(f'<rect x="140" y="{y}" width="{kept}" height="26" fill="{KEPT}"/>')
        parts.append(text(550, y + 18, f"{kept} kept", 13))
    parts.append(
        text(20, 222, "in = kept + dropped + missing + failed, at every step and in all.", 13, SOFT)
    )
    return drawing(640, 236, "Where the rows went", *parts)


def stored_once() -> str:
    """A changed threshold computes nothing; a changed prompt computes captions alone."""
    parts = [
        text(20, 28, "changed threshold"),
        text(20, 118, "changed prompt"),
        text(20, 208, "one more file"),
    ]
    for row, y in enumerate((40, 130, 220)):
        for i, name in enumerate(("download", "clip", "caption")):
            x = 20 + 190 * i
            fresh = (row == 1 and i == 2) or row == 2
            parts.append(box(x, y, 160, 40, PAPER))
            if fresh:
                part = 160 if row == 1 else 26
                parts.append(box(x + 160 - part, y, part, 40, "#cfe0ff", MARK))
            parts.append(text(x + 80, y + 25, name, end="middle"))
            if i < 2:
                parts.append(arrow(x + 160, y + 20, x + 188, y + 20))
    parts.append(text(20, 284, "Grey: read from the store. Blue: computed.", 13, SOFT))
    return drawing(600, 296, "What is computed again", *parts)


def phases() -> str:
    """Map stages stream; a stage over all rows waits for them."""
    parts = [
        text(20, 26, "phase 1"), text(280, 26, "phase 2"), text(440, 26, "phase 3"),
        box(20, 40, 220, 110), box(280, 40, 120, 110), box(440, 40, 160, 110),
        arrow(240, 95, 278, 95), arrow(400, 95, 438, 95),
        text(130, 70, "text_rules → download", 13, end="middle"),
        text(130, 92, "→ resolution → hash", 13, end="middle"),
        text(130, 128, "shard by shard, streaming", 12, SOFT, "middle"),
        text(340, 82, "dedup", 13, end="middle"), text(340, 128, "all rows, narrow", 12, SOFT, "middle"),
        text(520, 82, "clip → caption", 13, end="middle"), text(520, 128, "GPU actors", 12, SOFT, "middle"),
        text(20, 182, "Images never take part in a shuffle: what looks at all rows reads narrow columns.", 13, SOFT),
    ]  # fmt: skip
    return drawing(620, 196, "Phases of a run", *parts)


def packages() -> str:
    """Many packages come out of one run."""
    parts = [box(20, 70, 150, 60), text(95, 105, "stored columns", end="middle")]
    outputs = (
        ("bulk", "after: dedup"),
        ("high quality", "where: clip_score > 0.3"),
        ("uids for DataComp", "type: uids"),
    )
    for i, (name, how) in enumerate(outputs):
        y = 14 + 66 * i
        parts += [arrow(170, 100, 258, y + 24), box(260, y, 320, 48)]
        parts += [text(276, y + 21, name), text(276, y + 39, how, 12, SOFT)]
    return drawing(600, 206, "Many packages from one run", *parts)


DRAWINGS = {
    "rows": rows_and_columns,
    "gates": gates,
    "store": stored_once,
    "phases": phases,
    "packages": packages,
}


def main(folder: str) -> None:
    """Writes every drawing into a folder."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name, draw in DRAWINGS.items():
        (Path(folder) / f"{name}.svg").write_text(draw(), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
