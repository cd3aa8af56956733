import {
  ofKind,
  selects,
  specOf,
  workloadsOf,
  type Manifest,
  type Selector,
  type Workload,
} from '../manifest.ts';

/** One thing that has to hold, and the names under which checkers look for it. */
export interface Rule {
  title: string;
  /** `checker/check`. */
  answers: readonly string[];
  /** What breaks it: one sentence each. */
  find: (objects: readonly Manifest[]) => string[];
  /** Breaks it in objects that keep it. */
  spoil: (objects: Manifest[]) => void;
  /** Images that are built on the spot have no registry and no digest: docs/decisions/checkers.md. */
  notLocally?: true;
}

export const complain = <Item>(
  items: readonly Item[],
  isWrong: (item: Item) => boolean,
  say: (item: Item) => string,
): string[] => items.filter(isWrong).map(say);

export const isServing = ({ object }: Workload): boolean => object.kind !== 'Job';

const found = <Item>(item: Item | undefined): Item => {
  if (item === undefined) throw new Error('there is nothing to spoil');
  return item;
};

/** The first workload, for spoiling. */
export const anyWorkload = (objects: readonly Manifest[], kind = 'Deployment'): Workload =>
  found(workloadsOf(objects).find(({ object }) => object.kind === kind));

export const anyObject = (objects: readonly Manifest[], kind: string): Manifest =>
  found(ofKind(objects, kind)[0]);

export const remove = (objects: Manifest[], kind: string): void => {
  for (const object of ofKind(objects, kind)) objects.splice(objects.indexOf(object), 1);
};

/** The objects of a kind in the workload's namespace whose selector, which `selectorOf` finds, fits its pods. */
export const aimedAt = (
  objects: readonly Manifest[],
  kind: string,
  { namespace, labels }: Workload,
  selectorOf: (object: Manifest) => Selector | undefined = (object) =>
    specOf<{ selector?: Selector }>(object).selector,
): Manifest[] =>
  ofKind(objects, kind).filter(
    (object) => object.metadata.namespace === namespace && selects(selectorOf(object), labels),
  );
