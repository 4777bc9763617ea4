// @boundaries-ignore What the tests of all rooms share belongs to no room.
export { until } from "../../../../test/support/until.ts";
