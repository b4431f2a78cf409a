// Names, counts and amounts, each with what it is not: a name that was not said, a count that is not
// known, a call without a price. What others wrote is only ever text.

import type { ComponentChildren } from "preact";
import type { Sum } from "../api";
import { change, dollars, grouped, short } from "../money";
import { moment } from "../time";
import { zone } from "../url";

interface NameProps {
  text: string | null;
  other?: string | undefined;
  /** On as many lines as it takes, rather than cut. */
  isWhole?: boolean;
}

/** A name of any length, in any script. */
export function Name({ text, other, isWhole }: NameProps) {
  if (text === null || text === "") return <span class="quiet">{other ?? "not said"}</span>;
  return (
    <span class={isWhole ? "name whole" : "name"} dir="auto" title={text}>
      {text}
    </span>
  );
}

export function Names({ list }: { list: string[] }) {
  const [first, ...rest] = list;
  if (first === undefined) return <Name text={null} />;
  return (
    <>
      <Name text={first} />
      {rest.length > 0 && (
        <span class="quiet" title={rest.join("\n")}>
          {" "}
          +{rest.length}
        </span>
      )}
    </>
  );
}

/** What is not known, which is not zero. */
export function Missing({ why }: { why: string }) {
  return (
    <span class="missing" title={why}>
      <span aria-hidden="true">–</span>
      <span class="hidden">{why}</span>
    </span>
  );
}

export function Count({ of, isShort }: { of: number | null | undefined; isShort?: boolean }) {
  if (of === null || of === undefined) return <Missing why="not known" />;
  const all = grouped(of);
  return <span title={all}>{isShort ? short(of) : all}</span>;
}

/** Dollars; the exact amount is its title. */
export function Money({ of, currency = "USD" }: { of: string | null | undefined; currency?: string }) {
  if (of === null || of === undefined) return <Missing why="no price is known" />;
  return <span title={currency === "USD" ? `$${of}` : `${of} ${currency}`}>{dollars(of, currency)}</span>;
}

/** What a sum cost; a star where calls without a price are not in it. */
export function Cost({ of }: { of: Sum }) {
  const { calls, unpriced_calls: unpriced } = of;
  if (calls > 0 && unpriced === calls)
    return <Missing why={`no price is known of ${grouped(calls)} calls`} />;
  return (
    <>
      <Money of={of.cost_usd} />
      {unpriced > 0 && (
        <abbr title={`${grouped(unpriced)} calls have no known price and are not in it`}>*</abbr>
      )}
    </>
  );
}

/** The change against the time before. */
export function Delta({ now, before }: { now: string | number; before: string | number }) {
  const text = change(now, before);
  return <span class="delta">{text ? `${text} vs before` : "0 before"}</span>;
}

export function Moment({ at }: { at: string | null }) {
  if (at === null) return <Missing why="not known" />;
  return (
    <time dateTime={at} title={at}>
      {moment(at, zone.value)}
    </time>
  );
}

export type BadgeLook = "good" | "warn" | "bad" | "plain" | "open";

export function Badge({
  look,
  children,
  title,
}: {
  look: BadgeLook;
  children: ComponentChildren;
  title?: string;
}) {
  return (
    <span class={`badge ${look}`} title={title}>
      {children}
    </span>
  );
}
