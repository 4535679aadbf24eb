// The feed as socket.io does it.
import { createServer } from "node:http";
import { Server } from "socket.io";
import { serve } from "./common.mjs";

const http = createServer();
const feed = new Server(http, { transports: ["websocket"], serveClient: false });
await serve(http, (event) => feed.emit("transition", event));
