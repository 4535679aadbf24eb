// All shared parts on one page, for the test of them and for whoever builds a page of them. It is
// not part of the console.
import "../src/app.css";
import { mount } from "svelte";

import { preferences } from "../src/lib/preferences.svelte";
import Gallery from "./Gallery.svelte";

preferences.start();
const target = document.getElementById("app");
if (target !== null) mount(Gallery, { target });
