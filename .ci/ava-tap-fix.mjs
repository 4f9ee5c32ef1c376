// Loaded before ava. Its TAP reporter expects errors in the form in which test files send them and
// breaks on those that it makes itself, for a timeout or a process.exit() in a test; the whole run
// would end without naming the test. This gives those errors the expected form.
import TapReporter from "../node_modules/ava/lib/reporters/tap.js";

const { writeTest } = TapReporter.prototype;

TapReporter.prototype.writeTest = function (event, flags) {
  const { err } = event;
  if (!(err instanceof Error)) return writeTest.call(this, event, flags);
  const sent = { type: "native", name: err.name, originalError: err, stack: err.stack ?? "" };
  return writeTest.call(this, { ...event, err: sent }, flags);
};
