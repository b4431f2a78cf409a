// A row of values the size of a word. Its figures stand in the table beside it, or in that of the chart.

import { height, short } from "../money";
import { px } from "./scale";

const WIDTH = 100;
const HEIGHT = 20;

export function Spark({ values, name }: { values: (number | string | null)[]; name: string }) {
  const all = values.map(height);
  const most = Math.max(0, ...all);
  const step = WIDTH / Math.max(1, all.length);
  const d = all.map((value, at) => {
    if (values[at] === null || value === 0) return "";
    const size = Math.max(1, (value / most) * HEIGHT);
    return `M${px(at * step)} ${HEIGHT}v-${px(size)}h${px(Math.max(0.8, step - 0.5))}v${px(size)}z`;
  });
  return (
    <svg
      class="spark"
      role="img"
      aria-label={`${name}: at most ${short(most)}`}
      width={WIDTH}
      height={HEIGHT}
    >
      <path d={d.join("")} />
    </svg>
  );
}
