import { type IncomingMessage, request as httpRequest, type ServerResponse } from "node:http";

export interface Seen {
  host: string;
  url: string;
  headers: IncomingMessage["headers"];
}

/** Stands in for the real upstreams behind TLS: writes down each request, and passes it on to the fake of its host. */
export function routeTo(fakes: Readonly<Record<string, string>>, seen: Seen[]) {
  return (request: IncomingMessage, response: ServerResponse): void => {
    const { method, url = "", headers } = request;
    const { host = "" } = headers;
    seen.push({ host, url, headers });
    const onward = httpRequest(`${fakes[host]}${url}`, { method, headers, agent: false }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    request.pipe(onward);
  };
}

/** As much of a Figma file as the REST API's description requires (`GET /v1/files/{file_key}`). */
export const figmaFile = {
  name: "Landing page",
  role: "viewer",
  editorType: "figma",
  lastModified: "2026-01-05T09:00:00Z",
  thumbnailUrl: "https://example.test/thumbnail.png",
  version: "1",
  schemaVersion: 0,
  components: {},
  componentSets: {},
  styles: {},
  document: {
    id: "0:0",
    name: "Document",
    type: "DOCUMENT",
    scrollBehavior: "SCROLLS",
    children: [
      {
        id: "0:1",
        name: "Page",
        type: "CANVAS",
        scrollBehavior: "SCROLLS",
        backgroundColor: { r: 1, g: 1, b: 1, a: 1 },
        prototypeStartNodeID: null,
        flowStartingPoints: [],
        children: [
          { id: "1:2", name: "Hero section", type: "FRAME", scrollBehavior: "SCROLLS", children: [] },
        ],
      },
    ],
  },
};
