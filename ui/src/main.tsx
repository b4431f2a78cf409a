// Where the dashboard begins. Everything that it shows comes from this origin.

import "./style.css";
import { render } from "preact";
import { App } from "./app";
import { learnFleet } from "./fleet";
import { listen } from "./live";
import { applyTheme } from "./theme";

applyTheme();
listen();
void learnFleet();
const root = document.getElementById("app");
if (root) render(<App />, root);
