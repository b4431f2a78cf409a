// A view that is fetched when it is first looked at.

import type { ComponentType } from "preact";
import { useEffect, useState } from "preact/hooks";

export function Later({ of }: { of: () => Promise<ComponentType> }) {
  const [View, set] = useState<ComponentType | null>(null);
  const [problem, say] = useState("");
  useEffect(() => {
    of().then(
      (view) => set(() => view),
      () => say("This view could not be loaded: load the page again."),
    );
  }, [of]);
  if (View) return <View />;
  if (problem) return <p class="note bad">{problem}</p>;
  return (
    <p class="loading" role="status">
      Reading the view…
    </p>
  );
}
