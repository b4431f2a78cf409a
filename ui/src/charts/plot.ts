// uPlot, and how it draws ours: loaded by `dense.tsx` when it is needed.

import "uplot/dist/uPlot.min.css";
import uPlot from "uplot";
import type { Bucket } from "../api";
import { grouped, height } from "../money";
import { axisLabel } from "../time";
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

const HATCH = 8;

/** Slanted lines, to the right or to the left. */
function hatch(stroke: string, isRising: boolean): CanvasPattern | null {
  const tile = document.createElement("canvas");
  [tile.width, tile.height] = [HATCH, HATCH];
  const pen = tile.getContext("2d");
  if (!pen) return null;
  pen.strokeStyle = stroke;
  // The lines of the tiles beside it, too, so that corners meet.
  for (const at of [-HATCH, 0, HATCH]) {
    pen.moveTo(at, isRising ? HATCH : 0);
    pen.lineTo(at + HATCH, isRising ? 0 : HATCH);
  }
  pen.stroke();
  return pen.createPattern(tile, "repeat");
}

/** Marks what is not kept, and what may still grow. */
function mark(plot: uPlot, buckets: Bucket[], ink: (name: string) => string): void {
  const looks = { missing: hatch(ink("edge"), true), open: hatch(ink("open"), false), closed: null };
  const { top, height: tall } = plot.bbox;
  const x = (at: number) => plot.valToPos(at, "x", true);
  plot.ctx.globalAlpha = 0.4;
  buckets.forEach(({ state }, at) => {
    const look = looks[state];
    if (!look) return;
    plot.ctx.fillStyle = look;
    plot.ctx.fillRect(x(at), top, x(at + 1) - x(at), tall);
  });
  plot.ctx.globalAlpha = 1;
}

/** The same with its last value once more: a step needs an end. */
const ended = <T>(values: T[]): T[] => [...values, ...values.slice(-1)];

/** Draws into an element, and says how to end it. Times are the places of their buckets. */
export function draw(
  place: HTMLElement,
  { buckets, layers, format, isLines, behind }: DenseProps,
): () => void {
  const plain = layers.map(({ values }) => values.map((value) => (value === null ? null : height(value))));
  const heights = isLines ? plain : stacked(plain);
  const stepped = uPlot.paths.stepped?.({ align: 1 });
  const bars = uPlot.paths.bars?.({ size: [0.9], align: 1 });
  const ink = (name: string) => colour(name, place);
  const axis = {
    stroke: ink("quiet"),
    grid: { stroke: ink("line"), width: 1 },
    ticks: { stroke: ink("line") },
  };
  const keyAt = (at: number | null) => (at === null ? "–" : (buckets[at]?.key ?? buckets.at(-1)?.key ?? "–"));
  type Say = (value: number) => string;
  const valueOf =
    (values: (number | null)[] | undefined, say: Say) =>
    (_: uPlot, __: number, ___: number, bucket: number | null) => {
      const told = bucket === null ? null : values?.[Math.min(bucket, buckets.length - 1)];
      return told == null ? "–" : say(told);
    };
  // The uppermost layer first, so that each covers what lies above its own.
  const order = isLines ? layers.map((_, at) => at) : layers.map((_, at) => layers.length - 1 - at);
  const series: uPlot.Series[] = order.map((at) => {
    const stroke = ink(layers[at]?.look ?? "other");
    const fill = isLines ? {} : { fill: stroke };
    const paths = stepped ? { paths: stepped } : {};
    return {
      label: layers[at]?.name ?? "",
      stroke,
      width: isLines ? 1.5 : 1,
      ...fill,
      ...paths,
      points: { show: false },
      value: valueOf(plain[at], format),
    };
  });
  const shade = {
    fill: ink("shade"),
    stroke: ink("shade"),
    points: { show: false },
    ...(bars && { paths: bars }),
  };
  const counts = behind?.values.map((value) => (value === null ? null : height(value)));
  const calls: uPlot.Series[] = behind
    ? [{ label: behind.name, scale: "calls", value: valueOf(counts, grouped), ...shade }]
    : [];
  const callsAxis = behind
    ? [
        {
          ...axis,
          scale: "calls",
          side: 1 as const,
          grid: { show: false },
          label: behind.name,
          labelSize: 18,
        },
      ]
    : [];
  const upTo = (most: number | null, room: number): [number, number] => [
    0,
    most !== null && most > 0 ? most * room : 1,
  ];
  const width = () => Math.max(240, place.clientWidth);
  const plot = new uPlot(
    {
      width: width(),
      height: HEIGHT,
      cursor: { drag: { x: false, y: false } },
      hooks: { drawClear: [(own) => mark(own, buckets, ink)] },
      scales: {
        x: { time: false, range: [0, buckets.length] },
        y: { range: (_, __, most) => upTo(most, 1.05) },
        calls: { range: (_, __, most) => upTo(most, 2) },
      },
      axes: [
        {
          ...axis,
          incrs: [1, 2, 3, 4, 6, 7, 12, 14, 24, 28, 48, 91],
          space: 70,
          values: (_, places) => places.map((at) => axisLabel(buckets[at]?.key ?? "")),
        },
        { ...axis, size: 76, values: (_, marks) => marks.map((at) => format(at)) },
        ...callsAxis,
      ],
      series: [{ label: "Time", value: (_, at) => keyAt(at) }, ...calls, ...series],
    },
    [
      ended(buckets).map((_, at) => at),
      ...(counts ? [ended(counts)] : []),
      ...order.map((at) => ended(heights[at] ?? [])),
    ],
    place,
  );
  const observer = new ResizeObserver(() => plot.setSize({ width: width(), height: HEIGHT }));
  observer.observe(place);
  return () => {
    observer.disconnect();
    plot.destroy();
  };
}
