// A table with a caption, which scrolls by itself where it is wider than the screen.

import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";

export interface Column {
  name: string;
  isNumber?: boolean;
  title?: string;
}

export interface Row {
  key: string;
  cells: ComponentChildren[];
  look?: string | undefined;
}

interface Props {
  caption: string;
  isCaptionHidden?: boolean;
  columns: Column[];
  rows: Row[];
}

export const text = (name: string): Column => ({ name });
export const number = (name: string, title?: string): Column => ({
  name,
  isNumber: true,
  ...(title && { title }),
});

export function Table({ caption, isCaptionHidden, columns, rows }: Props) {
  const look = (at: number) => (columns[at]?.isNumber ? "number" : undefined);
  return (
    <div class="scroll" role="group" aria-label={caption} tabIndex={0}>
      <table>
        <caption class={isCaptionHidden ? "hidden" : undefined}>{caption}</caption>
        <thead>
          <tr>
            {columns.map(({ name, title }, at) => (
              <th key={name} scope="col" class={look(at)} title={title}>
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map(({ key, cells, look: rowLook }) => (
            <tr key={key} class={rowLook}>
              {cells.map((cell, at) =>
                at === 0 ? (
                  <th key={at} scope="row" class={look(at)}>
                    {cell}
                  </th>
                ) : (
                  <td key={at} class={look(at)}>
                    {cell}
                  </td>
                ),
              )}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** The figures of a chart as a table, made when somebody opens it. */
export function Twin({ caption, make }: { caption: string; make: () => { columns: Column[]; rows: Row[] } }) {
  const [isOpen, open] = useState(false);
  return (
    <details class="twin" onToggle={(event) => open(event.currentTarget.open)}>
      <summary>Figures as a table</summary>
      {isOpen && <Table caption={caption} isCaptionHidden {...make()} />}
    </details>
  );
}
