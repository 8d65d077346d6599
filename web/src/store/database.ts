// The conversations in this browser's IndexedDB. Each version of the schema is one step of kMigrations: a browser that has version n runs
// the steps after n. Steps that were released are never changed.
import { openDB, type DBSchema, type IDBPDatabase, type IDBPTransaction } from "idb";
import type { Token } from "../api/types";
import type { Conversation, Message } from "../chat/conversation";

export interface TokenRecord {
  message: string;
  tokens: Token[];
}

export interface Schema extends DBSchema {
  conversations: { key: string; value: Conversation };
  messages: { key: string; value: Message; indexes: { conversation: string } };
  tokens: { key: string; value: TokenRecord }; // apart: they are large, and read only when looked at
}

type StoreName = "conversations" | "messages" | "tokens";
export type Database = IDBPDatabase<Schema>;
type Upgrade = (database: Database, transaction: IDBPTransaction<Schema, StoreName[], "versionchange">) => void;

const kMigrations: Upgrade[] = [
  (database) => {
    database.createObjectStore("conversations", { keyPath: "id" });
    database.createObjectStore("messages", { keyPath: "id" }).createIndex("conversation", "conversation");
    database.createObjectStore("tokens", { keyPath: "message" });
  },
];

export const kSchemaVersion = kMigrations.length;

// `onOutdated`: another tab wants a newer schema, and this one has let go of the store.
export function openDatabase(name: string, onOutdated: () => void): Promise<Database> {
  return openDB<Schema>(name, kSchemaVersion, {
    upgrade(database, oldVersion, _newVersion, transaction) {
      for (const migrate of kMigrations.slice(oldVersion)) migrate(database, transaction);
    },
    blocking(_current, _blocked, event) {
      (event.target as IDBDatabase).close();
      onOutdated();
    },
  });
}
