// The feed as `ws` does it: encoded once, sent to each.
import { createServer } from "node:http";
import { WebSocketServer } from "ws";
import { serve } from "./common.mjs";

const http = createServer();
const feed = new WebSocketServer({ server: http, perMessageDeflate: false });
await serve(http, (event) => {
  const text = JSON.stringify(event);
  for (const client of feed.clients) client.send(text);
});
