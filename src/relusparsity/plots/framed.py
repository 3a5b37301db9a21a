"""A panel's frame: its axes as Matplotlib has them, with scales, limits and ticks as the chart asks for them."""

from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from .chart import Axis, Panel, spans_decades


def like(axes: Axes, frame: Axes) -> None:
    """Make axes that show nothing of themselves and place marks as the frame does, which must have its limits."""
    axes.axis("off")
    axes.set(xscale=frame.get_xscale(), yscale=frame.get_yscale(), xlim=frame.get_xlim(), ylim=frame.get_ylim())


def finish(axes: Axes, panel: Panel) -> None:
    """What can be said of axes only when the marks are there."""
    if panel.y.log and not panel.y.ticks and not spans_decades(panel):
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    if panel.y.from_zero and not panel.y.limits:
        axes.set_ylim(0, max(axes.dataLim.y1 * 1.05, 1e-9))
    axes.autoscale_view()
    axes.set_autoscale_on(False)


def scale(axes: Axes, which: str, axis: Axis, room: int) -> None:
    """Set an axis up. `room` is its length, roughly, in pixels."""
    if axis.words:
        return
    if axis.names:  # then values go across
        axes.grid(axis="x")
        axes.grid(visible=False, axis="y")
    side = axes.xaxis if which == "x" else axes.yaxis
    set_scale, set_limits = (axes.set_xscale, axes.set_xlim) if which == "x" else (axes.set_yscale, axes.set_ylim)
    if axis.label:
        side.set_label_text(axis.label)
    if axis.log:
        set_scale("log")
        side.set_minor_locator(NullLocator())
        plain = FuncFormatter(lambda v, _: f"{v:g}")
        side.set_major_formatter(EngFormatter(sep="") if axis.tokens else plain)
    elif axis.tokens:
        side.set_major_formatter(EngFormatter(sep=""))
    if axis.ticks:
        step = max(1, -(-7 * sum(map(len, axis.ticks[1])) // room)) if which == "x" else 1
        side.set_major_locator(FixedLocator(axis.ticks[0][::step]))
        side.set_ticklabels(axis.ticks[1][::step])
    elif not axis.log:
        side.set_major_locator(MaxNLocator(4 if room < 400 else 7, steps=[1, 2, 2.5, 5, 10]))
    if axis.limits:
        set_limits(*axis.limits)
