import { dirname } from "node:path";
import tseslint from "typescript-eslint";

const root = dirname(import.meta.dirname);

export default tseslint.config(
  {
    ignores: [
      "**/dist/**",
      "**/dist-test/**",
      "**/gen/**",
      "**/node_modules/**",
      ".headrace/**",
      ".cache/**",
    ],
  },
  {
    files: ["**/*.mjs", "**/*.js"],
    extends: [tseslint.configs.recommended],
    rules: { "max-lines-per-function": ["error", { max: 70, skipBlankLines: true, skipComments: true }] },
  },
  {
    files: ["**/*.ts"],
    extends: [tseslint.configs.strictTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: root } },
    rules: {
      "max-lines": ["error", { max: 500 }],
      "max-lines-per-function": ["error", { max: 70, skipBlankLines: true, skipComments: true }],
      "max-params": ["error", { max: 5 }],
      "no-console": "error",
      // Numbers and booleans print as expected; the rule is for objects.
      "@typescript-eslint/restrict-template-expressions": [
        "error",
        { allowNumber: true, allowBoolean: true },
      ],
      // Ports are interfaces whose implementations need not wait for anything.
      "@typescript-eslint/require-await": "off",
      "@typescript-eslint/no-confusing-void-expression": [
        "error",
        { ignoreArrowShorthand: true, ignoreVoidReturningFunctions: true },
      ],
      "@typescript-eslint/prefer-promise-reject-errors": "off",
      "@typescript-eslint/no-unnecessary-condition": ["error", { allowConstantLoopConditions: true }],
    },
  },
  {
    files: ["test/**/*.ts", "bench/**/*.ts", "sdk/typescript/test/**/*.ts"],
    rules: {
      // A test may be one long story, and its assertions say what is not null.
      "max-lines-per-function": "off",
      "max-lines": ["error", { max: 800 }],
      "@typescript-eslint/no-non-null-assertion": "off",
      "@typescript-eslint/no-unsafe-assignment": "off",
      "@typescript-eslint/no-unsafe-member-access": "off",
    },
  },
  { files: ["**/cli/**", "bench/**", "**/examples/**"], rules: { "no-console": "off" } },
);
