// uPlot, and how it draws ours: loaded by `dense.tsx` when it is needed.

import "uplot/dist/uPlot.min.css";
import uPlot from "uplot";
import { height } from "../money";
import { zone } from "../url";
import type { DenseProps } from "./dense";

const HEIGHT = 240;

/** A colour of the theme, as a canvas takes it. */
function colour(name: string, place: HTMLElement): string {
  place.style.setProperty("color", `var(--${name})`);
  const found = getComputedStyle(place).color;
  place.style.removeProperty("color");
  return found;
}

/** Values upon those of the layers before. */
function stacked(layers: (number | null)[][]): (number | null)[][] {
  const total: number[] = [];
  return layers.map((values) =>
    values.map((value, at) => {
      if (value === null) return null;
      total[at] = (total[at] ?? 0) + value;
      return total[at];
    }),
  );
}

/** Draws into an element, and says how to end it. */
export function draw(place: HTMLElement, { buckets, layers, format, isLines, behind }: DenseProps): () => void {
  const times = buckets.map(({ start }) => Date.parse(start) / 1000);
  const plain = layers.map(({ values }) => values.map((value) => (value === null ? null : height(value))));
  const heights = isLines ? plain : stacked(plain);
  const stepped = uPlot.paths.stepped?.({ align: 1 });
  const bars = uPlot.paths.bars?.({ size: [0.9], align: 1 });
  const ink = (name: string) => colour(name, place);
  const axis = { stroke: ink("quiet"), grid: { stroke: ink("line"), width: 1 }, ticks: { stroke: ink("line") } };
  // The uppermost layer first, so that each covers what lies above its own.
  const value = (at: number) => (_: uPlot, __: number, ___: number, place: number | null) => {
    const told = place === null ? null : plain[at]?.[place];
    return told == null ? "–" : format(told);
  };
  const order = isLines ? layers.map((_, at) => at) : layers.map((_, at) => layers.length - 1 - at);
  const series: uPlot.Series[] = order.map((at) => {
    const look = layers[at]?.look ?? "other";
    const stroke = ink(look);
    return { label: layers[at]?.name ?? "", stroke, width: isLines ? 1.5 : 1, ...(isLines ? {} : { fill: stroke }), ...(stepped && { paths: stepped }), points: { show: false }, value: value(at) };
  });
  const calls: uPlot.Series[] = behind
    ? [{ label: behind.name, scale: "calls", fill: ink("shade"), stroke: ink("shade"), ...(bars && { paths: bars }), points: { show: false } }]
    : [];
  const width = () => Math.max(240, place.clientWidth);
  const plot = new uPlot(
    {
      width: width(),
      height: HEIGHT,
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), zone.value),
      legend: { show: true, live: true },
      cursor: { drag: { x: false, y: false } },
      scales: { y: { range: (_, __, most) => [0, most > 0 ? most * 1.05 : 1] }, calls: { range: (_, __, most) => [0, most > 0 ? most * 2 : 1] } },
      axes: [
        axis,
        { ...axis, size: 64, values: (_, marks) => marks.map((mark) => format(mark)) },
        ...(behind ? [{ ...axis, scale: "calls", side: 1 as const, grid: { show: false }, label: behind.name, labelSize: 18 }] : []),
      ],
      series: [{}, ...calls, ...series],
    },
    [times, ...(behind ? [behind.values.map((value) => (value === null ? null : height(value)))] : []), ...order.map((at) => heights[at] ?? [])],
    place,
  );
  const observer = new ResizeObserver(() => plot.setSize({ width: width(), height: HEIGHT }));
  observer.observe(place);
  return () => {
    observer.disconnect();
    plot.destroy();
  };
}
