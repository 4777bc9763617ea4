// Loaded into the process that bootstrap starts: when bootstrap is killed in a way it cannot pass on (SIGKILL), the
// channel to it closes, and the process ends as if it had been asked to.
import process from "node:process";

process.once("disconnect", () => process.kill(process.pid, "SIGTERM"));
// Listening alone would keep the process alive for as long as its parent.
process.channel?.unref();
// A fork inherits the options of its parent, and its channel means something else.
process.execArgv.splice(process.execArgv.indexOf("--import"), 2);
