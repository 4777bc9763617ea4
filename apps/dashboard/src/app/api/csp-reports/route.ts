import { stderr } from "node:process";

const longestLine = 2_000;

/** Browsers say here what the Content-Security-Policy stopped. Anybody may write it, so a line of it is all it gets. */
export async function POST(request: Request): Promise<Response> {
  const text = (await request.text()).slice(0, longestLine);
  stderr.write(`${JSON.stringify({ level: "warn", msg: "content security policy report", report: text })}\n`);
  return new Response(null, { status: 204 });
}
