// A year as a field of days, a column for each week from Monday on.
//
// Five shades by the largest day; a day without usage is empty, one that was not kept is hatched.

import { useId } from "preact/hooks";
import type { Bucket, Value } from "../api";
import { height } from "../money";
import { monthName } from "../time";
import { useWalk } from "./walk";

const CELL = 15;
const LEFT = 34;
const TOP = 18;
const DAYS = ["Mon", "", "Wed", "", "Fri", "", "Sun"];

interface Props {
  title: string;
  buckets: Bucket[];
  values: Value[];
  say: (value: Value) => string;
  onPick: (day: string) => void;
}

interface Cell {
  day: string;
  at: number;
  week: number;
  weekday: number;
}

/** Where each day is: Monday is 0. */
function cells(buckets: Bucket[]): Cell[] {
  const weekdayOf = (day: string) => (new Date(`${day}T00:00:00Z`).getUTCDay() + 6) % 7;
  const before = weekdayOf(buckets[0]?.key ?? "2026-01-01");
  return buckets.map(({ key }, at) => {
    const place = before + at;
    return { day: key, at, week: Math.floor(place / 7), weekday: place % 7 };
  });
}

/** 0 for nothing, 1 to 5 by the square root of the part of the largest: small days are seen, too. */
export function shade(value: Value, most: number): number {
  const size = height(value);
  if (size <= 0 || most <= 0) return 0;
  return Math.min(5, Math.max(1, Math.ceil(Math.sqrt(size / most) * 5)));
}

export function Year({ title, buckets, values, say, onPick }: Props) {
  const id = useId();
  const all = cells(buckets);
  const most = Math.max(0, ...values.map(height));
  const weeks = (all.at(-1)?.week ?? 0) + 1;
  const [width, size] = [LEFT + weeks * CELL, TOP + 7 * CELL];
  const stateOf = (at: number) => buckets[at]?.state ?? "missing";
  const look = (at: number) =>
    stateOf(at) === "missing" ? "h-missing" : `h${shade(values[at] ?? null, most)}`;
  const known = buckets.findLastIndex(({ state }) => state !== "missing");
  const steps = { ArrowLeft: -7, ArrowRight: 7, ArrowUp: -1, ArrowDown: 1 };
  const ground = { last: all.length - 1, begin: Math.max(0, known), steps };
  const { chosen, choose, onKeyDown } = useWalk(ground, (at) => {
    const day = all[at]?.day;
    if (day) onPick(day);
  });
  const told = chosen === null ? undefined : all[chosen];
  return (
    <div
      class="chart year"
      role="group"
      tabIndex={0}
      aria-label={`${title}. Arrow keys go from day to day, Enter opens its sessions.`}
      onKeyDown={onKeyDown}
      onBlur={() => choose(null)}
    >
      <div class="scroll">
        <svg
          role="img"
          aria-labelledby={`${id}t`}
          width={width}
          height={size}
          viewBox={`0 0 ${width} ${size}`}
        >
          <title id={`${id}t`}>{title}</title>
          <defs>
            <pattern
              id={`${id}m`}
              width="5"
              height="5"
              patternUnits="userSpaceOnUse"
              patternTransform="rotate(45)"
            >
              <line class="hatch" x1="0" x2="0" y1="0" y2="5" />
            </pattern>
          </defs>
          {DAYS.map((name, at) => (
            <text key={at} class="axis" x={0} y={TOP + at * CELL + 11}>
              {name}
            </text>
          ))}
          {all
            .filter(({ day }) => day.endsWith("-01"))
            .map(({ day, week }) => (
              <text key={day} class="axis" x={LEFT + week * CELL} y={12}>
                {monthName(Number(day.slice(5, 7)) - 1)}
              </text>
            ))}
          {all.map(({ day, at, week, weekday }) => (
            <rect
              key={day}
              class={`day ${look(at)}${stateOf(at) === "open" ? " h-open" : ""}${at === chosen ? " h-chosen" : ""}`}
              x={LEFT + week * CELL + 1}
              y={TOP + weekday * CELL + 1}
              width={CELL - 2}
              height={CELL - 2}
              rx={2}
              fill={stateOf(at) === "missing" ? `url(#${id}m)` : undefined}
              onPointerEnter={() => choose(at)}
              onClick={() => onPick(day)}
            />
          ))}
        </svg>
      </div>
      <p class="readout" aria-live="polite">
        {told ? (
          <>
            <strong>{told.day}</strong>{" "}
            {stateOf(told.at) === "missing" ? "not kept" : say(values[told.at] ?? null)}
            {stateOf(told.at) === "open" && " (open, may still grow)"}
          </>
        ) : (
          <span class="quiet">Point at a day, or use the arrow keys.</span>
        )}
      </p>
    </div>
  );
}
