/** What workers of this SDK call it. */
export const SDK_NAME = "headrace-typescript";
/** The version of this package. A test compares it with package.json. */
export const SDK_VERSION = "0.1.0";
