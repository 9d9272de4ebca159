import type { ServerUnaryCall, sendUnaryData } from '@grpc/grpc-js';
import { toStatus } from './status.ts';

/** A unary gRPC handler from an async function. Its errors are sent as a status with their code. */
export function unary<TRequest, TResponse>(handle: (request: TRequest) => Promise<TResponse>) {
  return (call: ServerUnaryCall<TRequest, TResponse>, callback: sendUnaryData<TResponse>): void => {
    Promise.resolve()
      .then(() => handle(call.request))
      .then(
        (response) => callback(null, response),
        (thrown: unknown) => callback(toStatus(thrown)),
      );
  };
}
