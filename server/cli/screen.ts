import type { Style } from "./style.js";

/** Where and how the watching is shown. */
export interface Screen {
  readonly stream: NodeJS.WriteStream;
  readonly style: Style;
}
