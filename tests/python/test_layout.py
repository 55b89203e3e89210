# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""The structures of the Python package are those of the C headers."""

import ctypes
import os
import subprocess
import tempfile
import unittest

from kvlift import _lib

TOP = os.path.dirname(os.path.abspath(__file__)) + "/../.."


class Layout(unittest.TestCase):
    def test_structures(self):
        structures = [s for s in vars(_lib).values() if hasattr(s, "_c_name_") and s is not _lib.Iovec]
        self.assertGreaterEqual(len(structures), 6)
        lines = []
        for s in structures:
            lines.append(f'printf("{s._c_name_} %zu\\n", sizeof(struct {s._c_name_}));')
            for name, _ in s._fields_:
                lines.append(f'printf("{s._c_name_}.{name} %zu %zu\\n", offsetof(struct {s._c_name_}, {name}), sizeof(((struct {s._c_name_} *)0)->{name}));')
        source = "#include <stddef.h>\n#include <stdio.h>\n#include <kvlift.h>\nint main(void) {" + "".join(lines) + "return 0; }\n"
        with tempfile.TemporaryDirectory() as d:
            with open(d + "/t.c", "w") as f:
                f.write(source)
            subprocess.run(
                [os.environ.get("CC", "cc"), "-w", "-D_GNU_SOURCE", f"-I{TOP}/userlib/include", f"-I{TOP}/module/uapi", d + "/t.c", "-o", d + "/t"],
                check=True,
            )
            real = subprocess.run([d + "/t"], check=True, capture_output=True, text=True).stdout.split("\n")[:-1]
        ours = []
        for s in structures:
            ours.append(f"{s._c_name_} {ctypes.sizeof(s)}")
            for name, _ in s._fields_:
                field = getattr(s, name)
                ours.append(f"{s._c_name_}.{name} {field.offset} {field.size}")
        self.assertEqual(real, ours)

    def test_operations(self):
        with open(TOP + "/userlib/include/kvlift_io.h") as f:
            text = f.read()
        for name in "PUT GET EXISTS DELETE PREFETCH ACQUIRE RELEASE DEMOTE TOUCH SEAL".split():
            self.assertIn(f"KVLIFT_ITEM_{name} = {getattr(_lib, name)},", text)

    def test_prototypes(self):
        with open(TOP + "/userlib/libkvlift.map") as f:
            known = f.read()
        for name in _lib._PROTOTYPES:
            self.assertIn(f"\t{name};", known)


if __name__ == "__main__":
    unittest.main()
