// What is dense is drawn as SVG in a page that loads nothing.

import { height } from "../money";
import type { DenseProps } from "../charts/dense";
import { Stacked } from "../charts/stacked";

export function Dense({ title, description, buckets, layers, format }: DenseProps) {
  const say = (value: number | string) => format(height(value));
  return <Stacked {...{ title, description, buckets, layers, format, say }} shape="bars" />;
}
