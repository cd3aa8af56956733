import { describe, expect, test } from '@jest/globals';
import { checkNames } from './check-names.ts';
import { combinations } from './combinations.ts';
import { rules } from './rules/rules.ts';
import { schemaProblems } from './schema.ts';

const applicable = (isLocal: boolean) => rules.filter(({ notLocally }) => !(isLocal && notLocally));

test.each(combinations)('no rule finds anything in $name, nor do the schemas', ({ objects, isLocal }) => {
  expect(applicable(isLocal).flatMap(({ find }) => find(objects()))).toEqual([]);
  expect(objects().flatMap(schemaProblems)).toEqual([]);
});

describe.each(combinations.slice(0, 2))('broken on purpose, $name is found out:', ({ objects, isLocal }) => {
  test.each(applicable(isLocal))('$title', ({ find, spoil }) => {
    const spoilt = structuredClone(objects());
    spoil(spoilt);
    expect(find(spoilt)).not.toEqual([]);
  });

  test('a field that no schema knows', () => {
    const spoilt = structuredClone(objects());
    for (const { spec } of spoilt) Object.assign(spec ?? {}, { replica: 3 });
    const problems = spoilt.flatMap(schemaProblems);
    expect(problems).toHaveLength(spoilt.filter(({ spec }) => spec).length);
    expect(problems[0]).toContain('"additionalProperty":"replica"');
  });
});

test('every check that is promised has its rule, and no rule is nobody’s', () => {
  const answered = rules.flatMap(({ answers }) => answers);
  expect(new Set(answered).size).toBe(answered.length);
  expect(answered.toSorted()).toEqual(checkNames.toSorted());
});
