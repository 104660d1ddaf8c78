/**
 * The one place that loads `@peculiar/x509`: it needs the reflection polyfill before it, and Node's
 * WebCrypto told to it.
 */
import "reflect-metadata";
import { cryptoProvider } from "@peculiar/x509";
import { webcrypto } from "node:crypto";

cryptoProvider.set(webcrypto);

export * from "@peculiar/x509";
