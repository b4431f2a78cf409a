// Layers upon each other over time, as bars or as areas: at most 200 buckets, drawn as SVG.
//
// Buckets before the account began, or that are still to come, are hatched; the one that is not over is
// striped; zero is a line on the ground. With the keyboard, arrows go from bucket to bucket.

import type { TargetedPointerEvent } from "preact";
import { useId, useRef } from "preact/hooks";
import type { Bucket } from "../api";
import { height } from "../money";
import { axisLabel } from "../time";
import { labelled, px, ticks, useWidth } from "./scale";
import { useWalk } from "./walk";

export interface Layer {
  name: string;
  /** A class that colours it. */
  look: string;
  values: (number | string | null)[];
}

interface Props {
  title: string;
  description: string;
  buckets: Bucket[];
  layers: Layer[];
  shape: "bars" | "area";
  format: (value: number) => string;
  /** An exact value, as it is read out. */
  say: (value: number | string) => string;
  /** Where a bucket leads to. */
  hrefOf?: (bucket: Bucket) => string;
}

const HEIGHT = 260;
const TOP = 8;
const BOTTOM = 22;
const LEFT = 52;
const GROUND = HEIGHT - BOTTOM;

/** What is named in a readout at most; the rest is in the table. */
const READ_MAX = 12;

export function Stacked({ title, description, buckets, layers, shape, format, say, hrefOf }: Props) {
  const frame = useRef<HTMLDivElement>(null);
  const width = useWidth(frame, 960);
  const id = useId();
  const last = buckets.length - 1;
  const open = (at: number | null) => {
    const bucket = at === null ? undefined : buckets[at];
    if (bucket && hrefOf) location.hash = hrefOf(bucket);
  };
  const ground = { last, begin: last, steps: { ArrowLeft: -1, ArrowRight: 1 } };
  const { chosen, choose, onKeyDown } = useWalk(ground, open);

  const totals = buckets.map((_, at) =>
    layers.reduce((total, { values }) => total + height(values[at] ?? null), 0),
  );
  const marks = ticks(Math.max(0, ...totals));
  const most = marks.at(-1) ?? 1;
  const step = (width - LEFT) / Math.max(1, buckets.length);
  const x = (at: number) => LEFT + at * step;
  const y = (value: number) => GROUND - (value / most) * (GROUND - TOP);
  const names = labelled(buckets.length, width - LEFT);

  const onPointerMove = (event: TargetedPointerEvent<SVGSVGElement>) => {
    const at = Math.floor((event.offsetX - LEFT) / step);
    choose(at >= 0 && at < buckets.length ? at : null);
  };

  const floor = new Array<number>(buckets.length).fill(0);
  const paths = layers.map(({ look, values }) => {
    const low = [...floor];
    values.forEach((value, at) => (floor[at] = (floor[at] ?? 0) + height(value)));
    const draw = shape === "bars" ? bars : area;
    return { look, d: draw(low, floor, values, { x, y, step }) };
  });
  const picked = chosen === null ? undefined : buckets[chosen];

  return (
    <div
      class="chart"
      ref={frame}
      tabIndex={0}
      aria-label={`${title}. Arrow keys go from one time to the next${hrefOf ? ", Enter opens it" : ""}.`}
      role="group"
      onKeyDown={onKeyDown}
      onBlur={() => choose(null)}
    >
      <svg
        role="img"
        aria-labelledby={`${id}t ${id}d`}
        width={width}
        height={HEIGHT}
        viewBox={`0 0 ${width} ${HEIGHT}`}
        onPointerMove={onPointerMove}
        onPointerLeave={() => choose(null)}
        onClick={() => open(chosen)}
        class={hrefOf ? "pickable" : undefined}
      >
        <title id={`${id}t`}>{title}</title>
        <desc id={`${id}d`}>{description}</desc>
        <Patterns id={id} />
        {marks.map((mark) => (
          <g key={mark}>
            <line class="grid" x1={LEFT} x2={width} y1={y(mark)} y2={y(mark)} />
            <text class="axis" x={LEFT - 6} y={y(mark) + 4} text-anchor="end">
              {format(mark)}
            </text>
          </g>
        ))}
        {buckets.map(({ key, state }, at) =>
          state === "closed" ? null : (
            <rect
              key={key}
              x={x(at)}
              y={TOP}
              width={step}
              height={GROUND - TOP}
              fill={`url(#${id}${state === "open" ? "open" : "missing"})`}
            />
          ),
        )}
        {paths.map(({ look, d }, at) => (
          <path
            key={at}
            class={`layer ${look}`}
            d={d}
            fill={look === "claimed" ? `url(#${id}claimed)` : undefined}
          />
        ))}
        <path class="zero" d={zeros(buckets, totals, x, step)} />
        {buckets.map(({ key }, at) =>
          names.has(at) ? (
            <text
              class="axis"
              key={key}
              x={Math.min(x(at) + step / 2, width - 26)}
              y={HEIGHT - 6}
              text-anchor="middle"
            >
              {axisLabel(key)}
            </text>
          ) : null,
        )}
        {chosen !== null && <rect class="chosen" x={x(chosen)} y={TOP} width={step} height={GROUND - TOP} />}
      </svg>
      <p class="readout" aria-live="polite">
        {picked && chosen !== null ? (
          <Readout bucket={picked} at={chosen} layers={layers} say={say} />
        ) : (
          <span class="quiet">Point at the chart, or use the arrow keys on it, to read a time.</span>
        )}
      </p>
    </div>
  );
}

function Readout({
  bucket,
  at,
  layers,
  say,
}: {
  bucket: Bucket;
  at: number;
  layers: Layer[];
  say: Props["say"];
}) {
  const told = layers.filter(({ values }) => height(values[at] ?? null) !== 0).reverse();
  return (
    <>
      <strong>{bucket.key}</strong>
      {bucket.state === "missing" && " – not kept: there is no account of it"}
      {bucket.state === "open" && " open, may still grow"}
      {bucket.state !== "missing" && told.length === 0 && " 0: nothing was used"}
      {told.slice(0, READ_MAX).map(({ name, look, values }) => (
        <span key={name} class="told">
          <i class={`swatch ${look}`} /> <bdi class="name">{name}</bdi> {say(values[at] ?? 0)}
        </span>
      ))}
    </>
  );
}

interface Scales {
  x: (at: number) => number;
  y: (value: number) => number;
  step: number;
}

/** One path for all bars of a layer. */
function bars(low: number[], high: number[], values: Layer["values"], { x, y, step }: Scales): string {
  const gap = step > 6 ? 1 : 0;
  return low
    .map((from, at) => {
      const to = high[at] ?? from;
      if (values[at] == null || to === from) return "";
      return `M${px(x(at) + gap)} ${px(y(from))}V${px(y(to))}h${px(step - 2 * gap)}V${px(y(from))}z`;
    })
    .join("");
}

/** One path for each stretch of a layer that is known. */
function area(low: number[], high: number[], values: Layer["values"], { x, y, step }: Scales): string {
  let d = "";
  for (let from = 0; from < values.length; from += 1) {
    if (values[from] == null) continue;
    let until = from;
    while (until < values.length && values[until] != null) until += 1;
    const all = Array.from({ length: until - from }, (_, at) => from + at);
    const over = all.map((at) => `${px(x(at) + step / 2)} ${px(y(high[at] ?? 0))}`);
    const under = all.reverse().map((at) => `${px(x(at) + step / 2)} ${px(y(low[at] ?? 0))}`);
    d += `M${over.join("L")}L${under.join("L")}z`;
    from = until;
  }
  return d;
}

/** A line on the ground where the account was kept and nothing was used. */
function zeros(buckets: Bucket[], totals: number[], x: Scales["x"], step: number): string {
  const known = buckets.map(({ state }, at) => (state !== "missing" && totals[at] === 0 ? at : -1));
  return known.flatMap((at) => (at < 0 ? [] : [`M${px(x(at) + 1)} ${GROUND - 1}h${px(step - 2)}`])).join("");
}

/** Hatches of what is missing, open, or only claimed. */
function Patterns({ id }: { id: string }) {
  return (
    <defs>
      <pattern
        id={`${id}missing`}
        width="8"
        height="8"
        patternUnits="userSpaceOnUse"
        patternTransform="rotate(45)"
      >
        <line class="hatch" x1="0" x2="0" y1="0" y2="8" />
      </pattern>
      <pattern
        id={`${id}open`}
        width="6"
        height="6"
        patternUnits="userSpaceOnUse"
        patternTransform="rotate(-45)"
      >
        <rect class="stripe" width="3" height="6" />
      </pattern>
      <pattern
        id={`${id}claimed`}
        width="5"
        height="5"
        patternUnits="userSpaceOnUse"
        patternTransform="rotate(45)"
      >
        <rect class="claim" width="3" height="5" />
      </pattern>
    </defs>
  );
}
