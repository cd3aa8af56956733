import { createDirectory } from '../src/directory/directory.ts';
import { createStateSaver } from '../src/directory/state-file.ts';
import { graphApplication } from '../src/graph/graph-registration.ts';
import { plantSeed } from '../src/seed/plant-seed.ts';
import { readSeed } from '../src/seed/read-seed.ts';

// Run by the test of the state file, which kills it: saves a directory over and over, and prints a dot for each time.
const applications = Array.from({ length: 2000 }, (_, index) => ({ name: `application-${index}` }));
const directory = createDirectory();
directory.addForeignApplication(graphApplication());
const seed = await readSeed({
  tenants: [{ id: '10ca10ca-0000-4000-8000-10ca10ca10ca', displayName: 'Crash', applications }],
});
plantSeed(directory, seed, Date.now());
const save = createStateSaver(process.argv[2] ?? '', directory);
for (;;) {
  await save();
  process.stdout.write('.');
}
