"""The chart of views per second, with a group of bars for each number of connections."""

import statistics

from programs import BARE, PROGRAMS

_COLOURS = ("#1b7f5c", "#b9c4bd", "#3f6fb5", "#8a5fb0", "#c98a2b", "#b5483f", "#777777")
_WIDTH, _HEIGHT, _LEFT, _FOOT = 760, 320, 70, 60


def draw(columns):
    names = [name for name in next(iter(columns.values())) if name not in BARE.values()]
    colours = dict(zip([name for name in PROGRAMS if name not in BARE.values()], _COLOURS))
    shown = {title: {name: samples[name] for name in names} for title, samples in columns.items()}
    most = max(it["rate"] for group in shown.values() for all in group.values() for it in all)
    scale = (_HEIGHT - _FOOT - 20) / most
    step = (_WIDTH - _LEFT) / len(shown)
    parts = []
    for line in range(0, int(most) + 1, 10_000):
        y = _HEIGHT - _FOOT - line * scale
        parts.append(f'<path d="M{_LEFT} {y:.1f}H{_WIDTH}" stroke="#8884"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{line:,}</text>')
    for place, (title, group) in enumerate(shown.items()):
        x = _LEFT + place * step + step * 0.1
        at = f'x="{x + step * 0.4:.1f}" y="{_HEIGHT - _FOOT + 18}" text-anchor="middle"'
        parts.append(f"<text {at}>{title}</text>")
        bar = step * 0.8 / len(names)
        for index, name in enumerate(names):
            parts.append(_bar([it["rate"] for it in group[name]], x + index * bar, bar, scale, colours[name]))
    for index, name in enumerate(names):
        x = _LEFT + index * (_WIDTH - _LEFT - 20) / len(names)
        parts.append(
            f'<rect x="{x:.1f}" y="{_HEIGHT - 22}" width="12" height="12" fill="{colours[name]}"/>'
            f'<text x="{x + 16:.1f}" y="{_HEIGHT - 12}">{name}</text>'
        )
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        f'font-family="sans-serif" font-size="11" fill="#777"><title>Views per second</title>\n'
        f"{body}\n</svg>\n"
    )


def _bar(rates, x, width, scale, colour):
    """A bar as high as the median, with a line from the least to the most."""
    low, middle, high = (
        _HEIGHT - _FOOT - of(rates) * scale for of in (min, statistics.median, max)
    )
    centre = x + width / 2
    return (
        f'<rect x="{x:.1f}" y="{middle:.1f}" width="{width * 0.9:.1f}" '
        f'height="{_HEIGHT - _FOOT - middle:.1f}" fill="{colour}"/>'
        f'<path d="M{centre:.1f} {low:.1f}V{high:.1f}" stroke="#888"/>'
    )
