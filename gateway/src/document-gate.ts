import { Refusal } from '@prequal/schema';
import {
  type DocumentNode,
  GraphQLError,
  type GraphQLSchema,
  NoSchemaIntrospectionCustomRule,
  type ParseOptions,
  specifiedRules,
  type validate,
} from 'graphql';
import { createAllowances } from './allowances.ts';
import { validateDocument } from './check-document.ts';
import { toRefusedError, unreadable } from './client-errors.ts';
import type { GatewayConfig } from './config.ts';
import { documentRefusal, tooComplex } from './document-limits.ts';
import type { TrustedDocuments } from './trusted-documents.ts';
import { variablesRefusal } from './variables-limits.ts';

type Params = { query?: unknown; variables?: unknown; extensions?: unknown };

type Parse = (source: string, options: ParseOptions) => DocumentNode;

/**
 * Decides which documents are run, for every transport: each asks `admit` with what the client sent, then the
 * engine calls `parse` and `validate`, whose results it keeps for the next request with the same document.
 */
export type DocumentGate = {
  /** The document to be run, or why there is none. */
  admit: (params: Params) => string | GraphQLError;
  /** `address`: whose limit a document that is not kept counts against */
  parse: (parse: Parse, source: string, options: ParseOptions, address: string) => DocumentNode;
  validate: typeof validate;
};

type GateConfig = Pick<
  GatewayConfig,
  | 'GATEWAY_INTROSPECTION'
  | 'GATEWAY_MAX_DOCUMENT_CHARS'
  | 'GATEWAY_MAX_DOCUMENT_TOKENS'
  | 'GATEWAY_MAX_DOCUMENT_DEPTH'
  | 'GATEWAY_MAX_DOCUMENT_FIELDS'
  | 'GATEWAY_MAX_DOCUMENT_ALIASES'
  | 'GATEWAY_MAX_DOCUMENT_DIRECTIVES'
  | 'GATEWAY_MAX_DOCUMENT_SPREADS'
  | 'GATEWAY_MAX_DOCUMENT_COST'
  | 'GATEWAY_MAX_NEW_DOCUMENT_CHARS_PER_ADDRESS_PER_MINUTE'
  | 'GATEWAY_MAX_VARIABLES_CHARS'
  | 'GATEWAY_MAX_VARIABLES_DEPTH'
  | 'GATEWAY_MAX_VARIABLES_LIST'
>;

/** what a person corrects at once; suggesting names for each wrong one is slow */
const maxErrors = 20;
const minuteMs = 60_000;

export function createDocumentGate(config: GateConfig, trusted: TrustedDocuments | undefined): DocumentGate {
  const maxChars = config.GATEWAY_MAX_DOCUMENT_CHARS;
  const maxTokens = config.GATEWAY_MAX_DOCUMENT_TOKENS;
  const documentLimits = {
    depth: config.GATEWAY_MAX_DOCUMENT_DEPTH,
    fields: config.GATEWAY_MAX_DOCUMENT_FIELDS,
    aliases: config.GATEWAY_MAX_DOCUMENT_ALIASES,
    directives: config.GATEWAY_MAX_DOCUMENT_DIRECTIVES,
    spreads: config.GATEWAY_MAX_DOCUMENT_SPREADS,
    cost: config.GATEWAY_MAX_DOCUMENT_COST,
  };
  const variablesLimits = {
    chars: config.GATEWAY_MAX_VARIABLES_CHARS,
    depth: config.GATEWAY_MAX_VARIABLES_DEPTH,
    list: config.GATEWAY_MAX_VARIABLES_LIST,
  };
  const newChars = createAllowances(config.GATEWAY_MAX_NEW_DOCUMENT_CHARS_PER_ADDRESS_PER_MINUTE, minuteMs);
  const showsSchema = config.GATEWAY_INTROSPECTION === 'on';
  return {
    admit: ({ query, variables, extensions }) => {
      const document = trusted ? trusted(query, extensions) : query;
      if (typeof document !== 'string') return trusted ? notTrusted() : noDocument();
      if (document.length > maxChars) return tooComplex('characters', maxChars, 'is too long');
      return variablesRefusal(variables, variablesLimits) ?? document;
    },
    parse: (parse, source, options, address) => {
      // A registered one is new at most once.
      if (!trusted && !newChars.take(address, source.length)) throw tooManyNew(newChars.msLeft());
      try {
        return parse(source, { ...options, maxTokens });
      } catch (error) {
        // Deep nesting exhausts the stack of the parser.
        if (error instanceof RangeError) throw unreadable();
        if (!(error instanceof GraphQLError)) throw error;
        throw /^Syntax Error: Document contains more tha[nt] \d+ tokens/.test(error.message)
          ? tooComplex('tokens', maxTokens, 'is too long')
          : withCode(error, 'GRAPHQL_PARSE_FAILED');
      }
    },
    validate: (schema, document, rules = specifiedRules, options = {}, ...rest) => {
      const refusal = refusalWithinStack(schema, document);
      if (refusal) return [refusal];
      const allRules = showsSchema ? rules : [...rules, NoSchemaIntrospectionCustomRule];
      const errors = validateDocument(schema, document, allRules, { ...options, maxErrors }, ...rest);
      // The suggestions of names tell the schema as introspection does.
      return (showsSchema ? errors : errors.map(withoutSuggestion)).map(asValidationError);
    },
  };

  function refusalWithinStack(schema: GraphQLSchema, document: DocumentNode): GraphQLError | undefined {
    try {
      return documentRefusal(schema, document, documentLimits);
    } catch (error) {
      if (error instanceof RangeError) return unreadable();
      throw error;
    }
  }
}

function notTrusted(): GraphQLError {
  const message =
    'Only registered documents are run here. Send one of them, or its hash as extensions.persistedQuery.sha256Hash.';
  return new GraphQLError(message, { extensions: { code: 'DOCUMENT_NOT_TRUSTED' } });
}

function noDocument(): GraphQLError {
  return new GraphQLError('Send a document as query.', { extensions: { code: 'BAD_REQUEST', http: { status: 400 } } });
}

function tooManyNew(retryAfterMs: number): GraphQLError {
  const message =
    'Too many different documents came from your address. Send the same ones with other variables, or wait for as long as retryAfterMs says.';
  return toRefusedError(new Refusal('RATE_LIMITED', message, { retryAfterMs }));
}

function withoutSuggestion(error: GraphQLError): GraphQLError {
  const message = error.message.replace(/ Did you mean .*$/s, '');
  return message === error.message ? error : changed(error, message, error.extensions);
}

function asValidationError(error: GraphQLError): GraphQLError {
  return withCode(error, 'GRAPHQL_VALIDATION_FAILED');
}

function withCode(error: GraphQLError, code: string): GraphQLError {
  return error.extensions['code'] ? error : changed(error, error.message, { ...error.extensions, code });
}

function changed(error: GraphQLError, message: string, extensions: Record<string, unknown>): GraphQLError {
  const { nodes, source, positions } = error;
  return new GraphQLError(message, {
    ...(nodes && { nodes }),
    ...(source && positions && { source, positions: [...positions] }),
    extensions,
  });
}
