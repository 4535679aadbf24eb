// The console starts here.
import "./app.css";
import { mount } from "svelte";

import App from "./App.svelte";
import { app } from "./lib/app.svelte";
import { addFrameKeys } from "./lib/everywhere";
import { listen } from "./lib/keys";
import { preferences } from "./lib/preferences.svelte";
import { router } from "./lib/router.svelte";
import { session } from "./lib/session.svelte";

/** What is fetched later needs this file to have ended: nothing is awaited outside of a function. */
async function start(target: HTMLElement): Promise<void> {
  preferences.start();
  // While the service says who this is, the page that is asked for is on its way.
  void router.page?.load();
  await session.ask();
  if (session.gate === "open") {
    app.start();
    router.start();
    addFrameKeys();
    listen();
    mount(App, { target });
  } else {
    const { SignInPage } = await import("./rest");
    mount(SignInPage, { target });
  }
}

const target = document.getElementById("app");
if (target === null) throw new Error("index.html has no #app");
void start(target);
