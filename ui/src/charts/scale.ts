// Where things are in a drawing.

import { useEffect, useState } from "preact/hooks";
import type { RefObject } from "preact";

/** Heights of grid lines: round numbers, from zero to at least `most`. */
export function ticks(most: number): number[] {
  if (!(most > 0)) return [0, 1];
  const rough = most / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((size) => size >= rough) ?? rough;
  const count = Math.ceil(most / step - 1e-9);
  return Array.from({ length: count + 1 }, (_, at) => at * step);
}

/** Which buckets are named on an axis of this width, from the last one back. */
export function labelled(count: number, width: number, labelWidth = 64): Set<number> {
  const every = Math.max(1, Math.ceil((count * labelWidth) / Math.max(1, width)));
  const all = Array.from({ length: count }, (_, at) => at);
  return new Set(all.filter((at) => (count - 1 - at) % every === 0));
}

/** The width of an element, as it changes. */
export function useWidth(of: RefObject<HTMLElement | null>, first: number): number {
  const [width, set] = useState(first);
  useEffect(() => {
    const element = of.current;
    if (!element) return;
    const observer = new ResizeObserver(() => set(Math.max(240, Math.floor(element.clientWidth))));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  return width;
}

/** A number with one decimal, so that a path stays short. */
export const px = (value: number): string => String(Math.round(value * 10) / 10);
