// Series with more points than SVG is good for: lines, or layers upon each other, by uPlot, which is
// loaded when the first of them is shown.

import { useEffect, useId, useRef, useState } from "preact/hooks";
import type { Bucket } from "../api";
import { theme } from "../theme";
import type { Layer } from "./stacked";

interface Props {
  title: string;
  description: string;
  buckets: Bucket[];
  layers: Layer[];
  format: (value: number) => string;
  /** Lines beside each other rather than layers upon each other. */
  isLines?: boolean;
  /** Counts that are drawn as bars behind, with an axis of their own. */
  behind?: Layer;
}

export function Dense(props: Props) {
  const { title, description, buckets, layers, behind } = props;
  const place = useRef<HTMLDivElement>(null);
  const id = useId();
  const [problem, say] = useState("");
  const look = theme.value;
  useEffect(() => {
    let isGone = false;
    let end = () => {};
    import("./plot").then(
      ({ draw }) => {
        if (!isGone && place.current) end = draw(place.current, props);
      },
      () => say("The chart could not be loaded; the table has all figures."),
    );
    return () => {
      isGone = true;
      end();
    };
  }, [buckets, layers.map(({ name }) => name).join("\n"), layers[0]?.values, behind?.values, look]);
  return (
    <figure class="chart dense" aria-labelledby={`${id}t`} aria-describedby={`${id}d`}>
      <div ref={place} role="img" aria-label={title} class="plot" />
      <figcaption>
        <span id={`${id}t`} class="hidden">
          {title}
        </span>
        <span id={`${id}d`} class="quiet">
          {problem || description}
        </span>
      </figcaption>
    </figure>
  );
}

export type { Props as DenseProps };
