//! Files that are easy to split wrongly, and a generator of more.

/// Each is a file of its own, read by psql and by `split`.
pub(super) const FILES: &[&str] = &[
    "",
    ";",
    "\u{feff}SELECT 1;\n",
    "\u{feff}-- mark\nSELECT 1",
    "SELECT 1;\u{feff}SELECT 2;",
    "-- only a comment\n/* and another */",
    "/* before */ -- and\nSELECT 1 /* after */ -- end\n;;\n ; SELECT 2",
    "SELECT 1\r\n;\r\nSELECT 2;\r\n",
    "SELECT 'a;b', 'it''s;', E'it\\'s;', E'\\\\', N';', B';', X';', U&'\\;', U&\"a;\"\"\";SELECT 2;",
    "SELECT 'a\\';SELECT 'b';",
    "SELECT E'a'\n'b\\';SELECT '';",
    "SELECT E'a'\r'b\\';';SELECT 2;",
    "SELECT E'a'\r\n'b\\';SELECT '';",
    "SELECT E'a' -- c;\r'b\\';';SELECT 2;",
    "SELECT 'a'\n-- c;\n'b;'\n;SELECT 2;",
    "SELECT E'line\\\n'';';SELECT 2;",
    "SELECT 'two\n\n\nlines;';SELECT 2;",
    "SELECT $$;$$; SELECT $a$;$b$;$$;$a$; SELECT $a$ $ab$ ; $a$; SELECT $ä$;$ä$",
    "SELECT $a$;$a$$b$;$b$; SELECT a$$;SELECT $1$$;$$;SELECT 1$$;$$;SELECT 1a$$;SELECT a1$b$;SELECT 2",
    "SELECT $a$\n\n;\n$b$a$;SELECT 2;",
    "SELECT :a$$;$$;SELECT a[1:b];SELECT a::text, :'a;', :\"b;\"; SELECT 2",
    "SELECT 1e'a\\';SELECT 1ee'a\\';SELECT .5e'\\';SELECT 1.5e+'\\';SELECT 1..2e'\\';SELECT 1..2.e'\\';SELECT 1e5e'\\';SELECT 2",
    "SELECT 0x'\\';SELECT 1é$$;SELECT $1e'\\';SELECT 1_e'\\';SELECT 2",
    "SELECT 1+--;\n2;SELECT 1*/*;*/2;SELECT 1@/**/-1;SELECT 2---1;\n;SELECT /*/*;*/*/ 3;SELECT /***;**/ 4;SELECT 1/ *;SELECT 2",
    "SELECT /*/;*/ 1; SELECT */ 2; SELECT /**//*;*/ 3;",
    "SELECT ((1);2);SELECT 1);SELECT 2;SELECT [;SELECT 3];",
    "CREATE RULE r AS ON INSERT TO t DO ALSO (INSERT INTO u VALUES (1); DELETE FROM v;); SELECT 1;",
    "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT CASE WHEN a THEN 1 END; END; SELECT 2;",
    "create or replace procedure p(begin int, x int default (case 1 when 1 then 2 end)) begin atomic\n\ninsert into t values (1);\nend;\nSELECT 2;",
    "CREATE OR REPLACE FUNCTION f() RETURNS int RETURN CASE WHEN a THEN 1 END; SELECT 2;",
    "CREATE FUNCTION begin() AS 'x'; SELECT 1; END; SELECT 2;",
    "CREATE /* x */ OR -- y\n REPLACE FUNCTION f() BEGIN ATOMIC SELECT 1; END; SELECT 2",
    "CREATE \"x\" FUNCTION f() BEGIN ATOMIC; SELECT 1; END; SELECT 2",
    "CREATE OR REPLACE OR FUNCTION f() BEGIN ATOMIC; SELECT 1; END",
    "CREATE TEMP FUNCTION f() BEGIN ATOMIC; SELECT 1; END",
    "CREATE FUNCTION f() :begin ATOMIC; SELECT 1; END",
    "CREATE FUNCTION f() u&begin; SELECT 1; END; END;",
    "CREATE FUNCTION f() 1begin; SELECT 1; END;",
    "BEGIN; SELECT CASE WHEN a THEN 1 END; END; COMMIT",
    "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $f$ BEGIN PERFORM $q$;$q$; END; $f$;\nDO $$ BEGIN COMMIT; END $$;",
    "COPY t FROM stdin;\n1;\n'\n$$\n\\.\nSELECT 1;",
    "COPY t (a, \"b\") FROM STDIN WITH (FORMAT csv);\r\n1,\"\\.\"\r\n\\.\r\nSELECT 1;",
    "/* c */ COPY a FROM stdin; SELECT 1; COPY b FROM stdin; SELECT 2;\n1\n\\.\n2\n\\.\nSELECT 3;",
    "COPY a FROM stdin; -- note\nx\n \\.\n\\. \n\\.\n-- next\nSELECT 1;",
    "COPY a FROM stdin;\n\\.\nCOPY b FROM stdin;\nno end",
    "COPY a FROM stdin;\nlast\n\\.",
    "COPY a FROM stdin",
    "COPY a TO stdout;COPY a FROM 'stdin';SELECT 'copy a from stdin';",
    "\\restrict k3y\nSELECT 1;\n\n\\unrestrict k3y\n",
    "SELECT 1; \\restrict k3y\nSELECT 2; \\unrestrict k3y",
    "SELECT 'żółć; 日本', \"ключ;\", $日本$;$日本$ FROM таблица;SELECT é;\n",
    "SELECT\u{b}1;\u{b};SELECT\u{c}2;\u{a0};",
    "SELECT \"a;\n\nb\";\n\n\n/* x\n\n; */\n\nSELECT 2",
];

/// Makes files of pieces that mean something to a scanner; the same seed gives the same files.
pub(super) struct Generator {
    state: u64,
}

const TOKENS: &[&str] = &[
    "SELECT",
    "1",
    "a",
    "é",
    "日本",
    "1.5",
    "1e5",
    "1e-",
    "1..2",
    "$1",
    "a$b",
    "u&",
    "E",
    "begin",
    "END",
    "case",
    "CREATE",
    "FUNCTION",
    "or",
    "replace",
    "procedure",
    "atomic",
    "+",
    "-",
    "*",
    "/",
    "::",
    ":a",
    ":=",
    ",",
    ".",
    "@-",
    "<>",
    "#",
    "[",
    "]",
    "\u{b}",
    "\u{a0}",
    "'a'",
    "'it''s;'",
    "'\\'",
    "E'\\';'",
    "E'a\\\\'",
    "e'\n\\'",
    "U&'\\;'",
    "u&\"x;\"\"\"",
    "\"q;\"\"\"",
    "\"\n\n;\"",
    "b'0;1'",
    "$$;$$",
    "$$ $a$ ; $$",
    "$a$ $$ ; $b$ $a$",
    "$é$\n\n;'$é$",
    "'a\n\n;b'",
    "(1;2)",
    "(",
    ")",
    "(a;",
    "; b)",
    "-- it's;\n",
    "-- \"(\r\n",
    "--;\r",
    "/* ' ; */",
    "/* /* ; */ ( */",
    "/*/ */",
    "/***/",
    "\n\n/*\n\n*/",
    ";",
    ";",
    ";",
    ";\n",
    "; -- next\n",
    ";\n\n",
    ";COPY a FROM stdin;\n1;'\t\\N\n\\.\n",
    ";\nCOPY a FROM stdin; SELECT 1;\r\n\\.\r\n",
    "\n\\restrict k\n",
    "CREATE FUNCTION f() BEGIN ATOMIC SELECT 1; END;",
    ";create or replace procedure p() begin atomic select case 1 when 1 then 2 end; end",
];

const GAPS: &[&str] = &["", "", " ", " ", " ", "\n", "\r\n", "\t", "\n\n", "\r", "\u{c}"];

const SHARDS: &[&str] = &["'", "\"", "$$", "$a$", "E'", "/*", "*/", "--", "\\", "(", ")"];

impl Generator {
    pub(super) fn new(seed: u64) -> Self {
        Self { state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1 }
    }

    pub(super) fn file(&mut self) -> String {
        let mut file = String::new();
        for _ in 0..4 + self.below(30) {
            let tokens = if self.below(12) == 0 { SHARDS } else { TOKENS };
            file.push_str(self.pick(tokens));
            file.push_str(self.pick(GAPS));
        }
        file
    }

    fn pick(&mut self, from: &'static [&'static str]) -> &'static str {
        from[self.below(from.len())]
    }

    fn below(&mut self, limit: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        usize::try_from(self.state % u64::try_from(limit).unwrap()).unwrap()
    }
}
