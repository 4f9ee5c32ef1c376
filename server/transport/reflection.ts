import { toBinary, type DescFile, type DescService } from "@bufbuild/protobuf";
import { nestedTypes } from "@bufbuild/protobuf/reflect";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { ServerReflection } from "../gen/grpc/reflection/v1/reflection_pb.js";
import { ServerReflection as ServerReflectionV1Alpha } from "../gen/grpc/reflection/v1alpha/reflection_pb.js";
import { bindService, type BoundService, type DuplexListener } from "./service-impl.js";
import { GRPC_CODES } from "./status.js";

/** What both versions ask, without the names of their message types. */
type Question =
  | {
      case: "fileByFilename" | "fileContainingSymbol" | "allExtensionNumbersOfType" | "listServices";
      value: string;
    }
  | { case: "fileContainingExtension"; value: { containingType: string } }
  | { case: undefined };

type Answer =
  | { case: "listServicesResponse"; value: { service: Array<{ name: string }> } }
  | { case: "fileDescriptorResponse"; value: { fileDescriptorProto: Uint8Array[] } }
  | { case: "errorResponse"; value: { errorCode: number; errorMessage: string } };

/** The reflection service in both versions, which differ in their names only. */
export function reflectionServices(described: readonly DescService[]): readonly BoundService[] {
  const descriptors = new DescriptorIndex([...described, ServerReflection, ServerReflectionV1Alpha]);
  return [
    bindService(ServerReflection, {
      serverReflectionInfo: (call) =>
        answering(call, (request) => {
          const messageResponse = descriptors.answer(request.messageRequest);
          call.write({ validHost: request.host, originalRequest: request, messageResponse });
        }),
    }),
    bindService(ServerReflectionV1Alpha, {
      serverReflectionInfo: (call) =>
        answering(call, (request) => {
          const messageResponse = descriptors.answer(request.messageRequest);
          call.write({ validHost: request.host, originalRequest: request, messageResponse });
        }),
    }),
  ];
}

function answering<I>(call: { end(): void }, message: (request: I) => void): DuplexListener<I> {
  const nothing = (): void => undefined;
  return { message, halfClosed: () => call.end(), writable: nothing, gone: nothing };
}

/** The files that describe the services, by name and by what they define. */
class DescriptorIndex {
  readonly #serviceNames: readonly string[];
  readonly #byName = new Map<string, DescFile>();
  readonly #bySymbol = new Map<string, DescFile>();

  constructor(services: readonly DescService[]) {
    this.#serviceNames = services.map((service) => service.typeName).sort();
    for (const service of services) this.#add(service.file);
  }

  #add(file: DescFile): void {
    if (this.#byName.has(file.proto.name)) return;
    this.#byName.set(file.proto.name, file);
    for (const type of nestedTypes(file)) {
      this.#bySymbol.set(type.typeName, file);
      if (type.kind !== "service") continue;
      for (const method of type.methods) this.#bySymbol.set(`${type.typeName}.${method.name}`, file);
    }
    for (const dependency of file.dependencies) this.#add(dependency);
  }

  answer(question: Question): Answer {
    switch (question.case) {
      case "listServices":
        return {
          case: "listServicesResponse",
          value: { service: this.#serviceNames.map((name) => ({ name })) },
        };
      case "fileByFilename":
        return fileAnswer(question.value, this.#byName.get(question.value));
      case "fileContainingSymbol":
        return fileAnswer(question.value, this.#bySymbol.get(question.value));
      case "fileContainingExtension":
        return errorAnswer("NOT_FOUND", `${question.value.containingType} has no extensions here.`);
      case "allExtensionNumbersOfType":
        return errorAnswer("NOT_FOUND", `${question.value} has no extensions here.`);
      case undefined:
        return errorAnswer("INVALID_ARGUMENT", "The request asks for nothing that this server knows.");
    }
  }
}

/** The file, first, and everything that it builds on. */
function fileAnswer(asked: string, file: DescFile | undefined): Answer {
  if (file === undefined) return errorAnswer("NOT_FOUND", `Nothing here is named ${JSON.stringify(asked)}.`);
  const files = new Set<DescFile>();
  const visit = (each: DescFile): void => {
    for (const dependency of each.dependencies) visit(dependency);
    files.add(each);
  };
  visit(file);
  const fileDescriptorProto = [...files]
    .reverse()
    .map((each) => toBinary(FileDescriptorProtoSchema, each.proto));
  return { case: "fileDescriptorResponse", value: { fileDescriptorProto } };
}

function errorAnswer(code: "NOT_FOUND" | "INVALID_ARGUMENT", errorMessage: string): Answer {
  return { case: "errorResponse", value: { errorCode: GRPC_CODES[code], errorMessage } };
}
