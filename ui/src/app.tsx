// The frame: where one can go, what is shown there, and what holds for all of it.

import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { isFleet } from "./fleet";
import { announcement } from "./live";
import { OfAllDevices } from "./parts/device";
import { Later } from "./parts/later";
import { forget, save, saved } from "./saved";
import { THEMES, chooseTheme, theme } from "./theme";
import { route, to } from "./url";
import { Budgets } from "./views/budgets";
import { Completeness } from "./views/completeness";
import { Errors } from "./views/errors";
import { Explore } from "./views/explore";
import { Heat } from "./views/heat";
import { Host } from "./views/host";
import { Overview } from "./views/overview";
import { Parity } from "./views/parity";
import { Session } from "./views/session";
import { Sessions } from "./views/sessions";
import { Settings } from "./views/settings";

interface View {
  title: string;
  draw: (id: string | null) => ComponentChildren;
  /** Not in the list of views: something of another one. */
  of?: string;
  /** Of a hub alone. */
  isOfFleet?: boolean;
  /** Knows no single device of a hub. */
  isOfAll?: boolean;
}

/** A single machine has no use for it, and does not fetch it. */
const devices = () => import("./views/devices").then(({ Devices }) => Devices);

const VIEWS: Record<string, View> = {
  overview: { title: "Overview", draw: () => <Overview /> },
  devices: { title: "Devices", draw: () => <Later of={devices} />, isOfFleet: true },
  explore: { title: "Explore", draw: () => <Explore /> },
  sessions: { title: "Sessions", draw: () => <Sessions /> },
  session: {
    title: "Session",
    draw: (id) => (id === null ? <NotThere /> : <Session key={id} id={id} />),
    of: "sessions",
  },
  year: { title: "Year", draw: () => <Heat /> },
  errors: { title: "Errors", draw: () => <Errors /> },
  host: { title: "Host", draw: () => <Host /> },
  completeness: { title: "Completeness", draw: () => <Completeness />, isOfAll: true },
  parity: { title: "Parity", draw: () => <Parity />, isOfAll: true },
  budgets: { title: "Budgets", draw: () => <Budgets />, isOfAll: true },
  settings: { title: "Settings", draw: () => <Settings /> },
};

const NOT_THERE: View = { title: "Not there", draw: () => <NotThere /> };

function NotThere() {
  return (
    <p class="note">
      There is no such view. <a href="#/overview">Overview</a>
    </p>
  );
}

export function App() {
  const { view: name, id } = route.value;
  const view = VIEWS[name] ?? NOT_THERE;
  const heading = useRef<HTMLHeadingElement>(null);
  const isFirst = useRef(true);
  useEffect(() => {
    document.title = `${view.title} · trueup`;
    // Who goes somewhere by the keyboard is there: not at the top of another page's list.
    if (!isFirst.current) heading.current?.focus();
    isFirst.current = false;
  }, [name, id]);
  const skip = (event: Event) => {
    event.preventDefault();
    heading.current?.focus();
  };
  return (
    <>
      <a class="skip" href="#main" onClick={skip}>
        To the figures
      </a>
      <header>
        <a class="mark" href="#/overview">
          trueup
        </a>
        <nav aria-label="Views">
          <ul>
            {Object.entries(VIEWS)
              .filter(([, { of, isOfFleet }]) => !of && (!isOfFleet || isFleet.value))
              .map(([key, { title }]) => (
                <li key={key}>
                  <a href={to(key)} aria-current={key === (view.of ?? name) ? "page" : undefined}>
                    {title}
                  </a>
                </li>
              ))}
          </ul>
        </nav>
        <SavedViews />
        <ThemeButton />
      </header>
      <main id="main">
        <h1 tabIndex={-1} ref={heading}>
          {view.title}
        </h1>
        {view.isOfAll && <OfAllDevices />}
        {view.draw(id)}
      </main>
      <p class="hidden" role="status" aria-live="polite">
        {announcement.value}
      </p>
    </>
  );
}

function ThemeButton() {
  const next = THEMES[(THEMES.indexOf(theme.value) + 1) % THEMES.length] ?? "auto";
  return (
    <button
      type="button"
      class="theme"
      onClick={() => chooseTheme(next)}
      aria-label={`Theme: ${theme.value}. Change to ${next}`}
    >
      {{ auto: "◐", light: "☀", dark: "☾" }[theme.value]}
    </button>
  );
}

function SavedViews() {
  const [name, type] = useState("");
  const place = useRef<HTMLDetailsElement>(null);
  const add = (event: Event) => {
    event.preventDefault();
    if (name.trim()) save(name.trim());
    type("");
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key !== "Escape" || !place.current) return;
    place.current.open = false;
    place.current.querySelector("summary")?.focus();
  };
  return (
    <details class="saved" ref={place} onKeyDown={onKeyDown}>
      <summary>Saved</summary>
      <div class="menu">
        {saved.value.length === 0 && <p class="quiet">No view is saved in this browser.</p>}
        <ul class="plain">
          {saved.value.map(({ name: one, hash }) => (
            <li key={one} class="row spread">
              <a href={hash} class="name" dir="auto">
                {one}
              </a>
              <button type="button" onClick={() => forget(one)} aria-label={`Forget ${one}`}>
                ✕
              </button>
            </li>
          ))}
        </ul>
        <form class="row" onSubmit={add}>
          <label>
            <span>Save this view as</span>
            <input value={name} maxLength={80} onInput={({ currentTarget }) => type(currentTarget.value)} />
          </label>
          <button type="submit">Save</button>
        </form>
      </div>
    </details>
  );
}
