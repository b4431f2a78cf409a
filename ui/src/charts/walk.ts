// Going over the places of a chart by keyboard: arrows from one to the next, Home and End to the ends.

import type { TargetedKeyboardEvent } from "preact";
import { useState } from "preact/hooks";

interface Ground {
  /** The last place; the first is 0. */
  last: number;
  /** Where the first arrow leads to. */
  begin: number;
  /** How far each arrow leads, by the name of its key. */
  steps: Record<string, number>;
}

/** The place that a key leads to; null where the key does not walk. */
export function placeAfter(key: string, from: number | null, { last, begin, steps }: Ground): number | null {
  if (key === "Home") return 0;
  if (key === "End") return last;
  const step = steps[key];
  if (step === undefined) return null;
  return from === null ? begin : Math.min(last, Math.max(0, from + step));
}

/** The place that is chosen, and what keys do: walk, open it, or leave it. */
export function useWalk(ground: Ground, open: (at: number) => void) {
  const [chosen, choose] = useState<number | null>(null);
  const onKeyDown = (event: TargetedKeyboardEvent<HTMLElement>) => {
    if (event.key === "Escape") return choose(null);
    if (event.key === "Enter") return chosen === null ? undefined : open(chosen);
    const next = placeAfter(event.key, chosen, ground);
    if (next === null) return;
    event.preventDefault();
    choose(next);
  };
  return { chosen, choose, onKeyDown };
}
