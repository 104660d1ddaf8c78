import type { WorkerBinding } from "../../contract/change-feed.ts";

/** A binding as the API lists it; a secret shows only its name. */
export function shownBinding(binding: WorkerBinding): object {
  const { name, type } = binding;
  switch (binding.type) {
    case "plain_text":
      return { name, type, text: binding.text };
    case "json":
      return { name, type, json: binding.json };
    case "mtls_certificate":
      return { name, type, certificate_id: binding.certificateId };
    case "hyperdrive":
      return { name, type, id: binding.databaseId };
    case "service":
      return {
        name,
        type,
        service: binding.service,
        environment: "production",
        ...(binding.entrypoint && { entrypoint: binding.entrypoint }),
        ...(binding.props && { props: binding.props }),
      };
    case "kv_namespace":
      return { name, type, namespace_id: binding.namespaceId };
    case "d1":
      return { name, type, id: binding.databaseId, database_id: binding.databaseId };
    case "r2_bucket":
      return { name, type, bucket_name: binding.bucketName };
    case "queue": {
      const { queueName, deliveryDelay: delay } = binding;
      return {
        name,
        type,
        queue_name: queueName,
        ...(delay !== undefined && { delivery_delay: delay }),
      };
    }
    case "ratelimit": {
      const { namespaceId, limit, period } = binding;
      return { name, type, namespace_id: namespaceId, simple: { limit, period } };
    }
    case "analytics_engine":
      return { name, type, dataset: binding.dataset };
    case "durable_object_namespace":
      return {
        name,
        type,
        class_name: binding.className,
        ...(binding.remote && {
          script_name: binding.remote.scriptName,
          namespace_id: binding.remote.namespaceId,
        }),
      };
    case "workflow":
      return { name, type, workflow_name: binding.workflowName, class_name: binding.className };
    case "text_blob":
    case "data_blob":
    case "wasm_module":
      return { name, type, part: binding.part };
    default:
      return { name, type };
  }
}
