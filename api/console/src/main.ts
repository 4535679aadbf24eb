// The console starts here.
import "./app.css";
import { mount } from "svelte";

import App from "./App.svelte";
import { app } from "./lib/app.svelte";
import { applyTheme, loadTheme } from "./lib/theme";

applyTheme(loadTheme());
const target = document.getElementById("app");
if (target === null) throw new Error("index.html has no #app");
app.start();
mount(App, { target });
