import type { Component } from 'vue';

/** What a menu offers, as data, so that the menu itself is loaded when the first one opens. */
export type MenuEntry =
  | {
      readonly kind: 'item';
      readonly label: string;
      readonly icon: Component;
      readonly danger?: boolean;
      readonly disabled?: boolean;
      readonly testid?: string;
      readonly select: () => void;
    }
  | {
      readonly kind: 'switch';
      readonly label: string;
      /** What it does, in words. */
      readonly hint: string;
      readonly icon: Component;
      readonly on: boolean;
      readonly testid?: string;
      readonly select: (on: boolean) => void;
    }
  | {
      readonly kind: 'choice';
      readonly label: string;
      readonly value: string;
      readonly options: readonly { readonly value: string; readonly label: string; readonly icon: Component }[];
      readonly select: (value: string) => void;
    }
  | {
      readonly kind: 'signs';
      readonly label: string;
      readonly options: readonly { readonly sign: string; readonly label: string; readonly select: () => void }[];
    }
  | { readonly kind: 'line' };
