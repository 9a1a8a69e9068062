// Make calls of `@segment/analytics-node` and say what came of them.
//
// Standard input: {"options": {...}, "calls": [["track", {...}], ["flush"], ...]}. A `timestamp` becomes a Date.
// Standard output: {"errors": [...], "statuses": [...], "sent": [...]}: what the client complained of, the status of
// every answer it got, and the messages that it took for delivered.

import fs from "node:fs";
import { Analytics } from "@segment/analytics-node";

const { options, calls } = JSON.parse(fs.readFileSync(0, "utf8"), (name, value) =>
  name === "timestamp" ? new Date(value) : value,
);
const client = new Analytics(options);
const found = { errors: [], statuses: [], sent: [] };
client.on("error", (error) => found.errors.push({ code: error.code, reason: String(error.reason) }));
client.on("http_response", (answer) => found.statuses.push(answer.status));
for (const type of ["track", "identify", "page", "screen", "group", "alias"]) {
  client.on(type, (context) => found.sent.push(context.event.messageId));
}
for (const [name, ...given] of calls) {
  const result = client[name](...given);
  if (name === "flush") {
    await result;
  }
}
await client.closeAndFlush();
console.log(JSON.stringify(found));
