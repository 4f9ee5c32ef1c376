import { HeadraceError } from "../core/errors.js";
import { invalidWorkflow } from "../core/invalid-workflow.js";
import type { Limits } from "../core/limits.js";
import type { WorkflowApi } from "../engine/api.js";
import type { WorkflowService } from "../gen/headrace/v1/workflow_service_pb.js";
import { namespaceOf } from "./convert-id.js";
import { convertWorkflow, workflowMessage, workflowSummaryMessage } from "./convert-workflow.js";
import { FieldCheck } from "./field-check.js";
import { allViolations } from "./refused-spec.js";
import { pageTokenOf, unsupportedCall } from "./request-rules.js";
import type { Impl } from "./service-impl.js";

const PAGE_SIZE_DEFAULT = 100;
const VERSION_CHARS_MAX = 36;

/** WorkflowService on the engine. */
export function workflowHandlers(workflows: WorkflowApi, limits: Limits): Impl<typeof WorkflowService> {
  return {
    async putWorkflow(request) {
      const namespace = namespaceOf(request);
      const { spec, refused } = convertWorkflow(request.spec, limits);
      if (refused.length === 0) return workflows.put(namespace, spec);
      const { problems } = await workflows.validate(namespace, spec);
      throw invalidWorkflow(spec.name, allViolations(refused, problems));
    },

    async getWorkflow(request) {
      const check = new FieldCheck();
      const name = check.requiredText("name", request.name, limits.nameChars);
      const version = check.text("version", request.version, VERSION_CHARS_MAX);
      check.finish();
      return { workflow: workflowMessage(await workflows.get(namespaceOf(request), name, version)) };
    },

    async listWorkflows(request) {
      const check = new FieldCheck();
      const namePrefix = check.text("name_prefix", request.namePrefix, limits.nameChars);
      const pageSize = check.pageSize(request.pageSize, PAGE_SIZE_DEFAULT, limits.pageSize);
      const pageToken = pageTokenOf(check, request);
      check.finish();
      const page = await workflows.list(namespaceOf(request), { namePrefix, pageSize, pageToken });
      return { workflows: page.items.map(workflowSummaryMessage), nextPageToken: page.nextPageToken };
    },

    async listWorkflowVersions(request) {
      const check = new FieldCheck();
      const name = check.requiredText("name", request.name, limits.nameChars);
      const pageSize = check.pageSize(request.pageSize, PAGE_SIZE_DEFAULT, limits.pageSize);
      const pageToken = pageTokenOf(check, request);
      check.finish();
      const page = await workflows.listVersions(namespaceOf(request), { name, pageSize, pageToken });
      return { versions: page.items.map(workflowSummaryMessage), nextPageToken: page.nextPageToken };
    },

    async validateWorkflow(request) {
      if (request.againstWorkers) {
        const field = "against_workers";
        throw new HeadraceError("NOT_SUPPORTED_YET", "against_workers is not supported yet.", { field });
      }
      const { spec, refused } = convertWorkflow(request.spec, limits);
      const found = await workflows.validate(namespaceOf(request), spec);
      const violations = allViolations(refused, found.problems);
      const problems = violations.map(({ field, reason, message }) => ({ path: field, reason, message }));
      const valid = problems.length === 0;
      return { valid, problems, version: valid ? found.version : "" };
    },

    diffWorkflow: unsupportedCall("DiffWorkflow"),
  };
}
