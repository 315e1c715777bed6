// The official tus server with its file store: DIRECTORY PORT [MAX_SIZE_BYTES]; prints its port when it listens.
import http from "node:http";
import { FileStore } from "@tus/file-store";
import { Server } from "@tus/server";

const [directory, port, maxSize] = process.argv.slice(2);
const tus = new Server({
  path: "/files",
  datastore: new FileStore({ directory }),
  ...(maxSize ? { maxSize: Number(maxSize) } : {}),
});
const server = http.createServer((request, response) => tus.handle(request, response));
server.listen(Number(port), "127.0.0.1", () => console.log(server.address().port));
