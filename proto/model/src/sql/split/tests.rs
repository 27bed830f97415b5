use proptest::prelude::*;

use super::*;

fn texts(sql: &str) -> Vec<&str> {
    split(sql).unwrap().iter().map(|statement| statement.text).collect()
}

#[test]
fn quotes_comments_and_parentheses_hide_semicolons() {
    let alone = [
        "SELECT 'a;b'",
        "SELECT 'it''s;'",
        r"SELECT E'it\'s;'",
        r"SELECT E'\\', 1",
        "SELECT $$;$$",
        "SELECT $a$ ; $b$ ; $$ ; $a$",
        "SELECT $ä1$ ; $ä1$",
        "SELECT $a$;$a$$b$;$b$",
        "SELECT \"a;\"\"b;\"",
        "SELECT U&\"a;\" , U&'b;', B'1;', x';', n';'",
        "SELECT 1 /* ; /* ; */ ; */ + 2",
        "SELECT 1 -- ;\n + 2",
        "SELECT 1 +-- ;\n 2",
        "SELECT 1 +/* ; */ 2",
        "SELECT 1 -- ;\r , 2",
        "CREATE RULE r AS ON INSERT TO t DO (INSERT INTO u VALUES (1); DELETE FROM v;)",
        "SELECT a$$ , 1 AS b$1$c",
        "SELECT 1$$;$$",
        "SELECT $1, $1$$;$$",
        "SELECT :a$$;$$",
        "SELECT 'żółć; 日本', $日本$ ; $日本$",
        "SELECT E'a'\r'\\';'",
    ];
    for sql in alone {
        assert_eq!(texts(&format!("SELECT 0;{sql};\nSELECT 2")), ["SELECT 0", sql, "SELECT 2"], "{sql}");
    }
}

#[test]
fn standard_strings_take_a_backslash_as_it_is() {
    assert_eq!(texts(r"SELECT 'a\';SELECT 'b'"), [r"SELECT 'a\'", "SELECT 'b'"]);
    assert_eq!(texts("SELECT E'a'\n'b\\';SELECT ''"), ["SELECT E'a'\n'b\\'", "SELECT ''"]);
    assert_eq!(
        texts(r"SELECT te'a\';SELECT 1e'b\';SELECT 2"),
        [r"SELECT te'a\'", r"SELECT 1e'b\'", "SELECT 2"]
    );
}

#[test]
fn sql_bodies_end_at_their_end() {
    let bodies = [
        "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 1 ELSE 2 END; END",
        "create or replace procedure p(begin int) begin atomic insert into t values (1); select (case 1 when 1 then 2 end); end",
        "CREATE FUNCTION f() RETURNS text LANGUAGE sql RETURN CASE WHEN true THEN ';' END",
        "CREATE FUNCTION f() RETURNS void AS $$ BEGIN; END; $$ LANGUAGE plpgsql",
    ];
    for sql in bodies {
        assert_eq!(texts(&format!("{sql}; SELECT 2")), [sql, "SELECT 2"]);
    }
    assert_eq!(texts("BEGIN; SELECT 1; END; SELECT 2"), ["BEGIN", "SELECT 1", "END", "SELECT 2"]);
    assert_eq!(texts("CREATE TABLE begin (a int); SELECT 1").len(), 2);
}

#[test]
fn offsets_lines_and_comments_are_exact() {
    let sql = "\u{feff}-- first\r\n/* block */ SELECT 1 -- tail\r\n ;;\n\n;-- stopover: backfill\nUPDATE é SET a = 1 /* end */\n";
    let found = split(sql).unwrap();
    assert_eq!(found.len(), 2);
    assert_eq!((found[0].line, found[1].line), (2, 6));
    assert_eq!(&sql[found[0].start..found[0].end], "SELECT 1");
    assert_eq!(found[0].leading_comments, "-- first\r\n/* block */ ");
    assert_eq!(found[1].leading_comments, ";\n\n;-- stopover: backfill\n");
    assert_eq!(found[1].text, "UPDATE é SET a = 1");
    assert_eq!((found[1].resume, found[1].copy_data), (sql.len(), None));
}

#[test]
fn nothing_but_comments_holds_no_statement() {
    for sql in ["", "\u{feff}", " \n\t", ";;;", "-- only", "/* only */ ; -- this\n"] {
        assert_eq!(split(sql), Ok(vec![]), "{sql:?}");
    }
}

#[test]
fn copy_data_belongs_to_its_statement() {
    let sql = "COPY t (a) FROM stdin;\n1;\n'\n\\.\nSELECT 1;\nCOPY u FROM STDIN; -- note\n\\.\n-- next\nSELECT 2;\ncopy v from stdin";
    let found = split(sql).unwrap();
    let data: Vec<_> = found.iter().map(|s| (s.text, s.copy_data)).collect();
    assert_eq!(
        data,
        [
            ("COPY t (a) FROM stdin", Some("1;\n'\n")),
            ("SELECT 1", None),
            ("COPY u FROM STDIN", Some("")),
            ("SELECT 2", None),
            ("copy v from stdin", Some("")),
        ]
    );
    assert_eq!((found[1].line, found[3].line), (5, 9));
    assert_eq!(found[3].leading_comments, "-- next\n");
}

#[test]
fn the_rest_of_copys_line_runs_after_its_data() {
    let sql = "COPY a FROM stdin; SELECT 1; COPY b FROM stdin; SELECT 2;\r\n1\r\n\\.\r\n2\n\\.\nSELECT 3;";
    let found: Vec<_> = split(sql).unwrap().iter().map(|s| (s.text, s.copy_data)).collect();
    assert_eq!(
        found,
        [
            ("COPY a FROM stdin", Some("1\r\n")),
            ("SELECT 1", None),
            ("COPY b FROM stdin", Some("2\n")),
            ("SELECT 2", None),
            ("SELECT 3", None),
        ]
    );
    for open in ["SELECT", "SELECT 'a", "/* x"] {
        let sql = format!("SELECT 0;\nCOPY a FROM stdin; {open}\n1\n\\.\n;");
        assert_eq!(split(&sql), Err(SplitError::AcrossCopyData { line: 2 }), "{open}");
    }
}

#[test]
fn psql_commands_are_refused_with_line_and_hint() {
    for (sql, command, line) in [
        ("\\set x 1\n", "\\set", 1),
        ("SELECT 1;\n\\i other.sql\n", "\\i", 2),
        ("SELECT 1 \\gexec\n", "\\gexec", 1),
        ("SELECT 1\\;SELECT 2;", "\\;", 1),
        ("\n\n\\copy t from 'f'", "\\copy", 3),
        ("\n\\.\n", "\\.", 2),
        ("SELECT\n\\restrict key\n1;", "\\restrict", 2),
        ("SELECT 1; \\", "\\", 1),
    ] {
        let error = split(sql).unwrap_err();
        let SplitError::MetaCommand { line: at, command: name, hint } = &error else { panic!("{error}") };
        assert_eq!((*at, name.as_str()), (line, command), "{sql}");
        assert!(!hint.is_empty());
    }
    let message = split("\n\\i x.sql").unwrap_err().to_string();
    assert_eq!(
        message,
        "line 2: \\i is a command of psql's own, which no server understands; put the SQL of that file here"
    );
}

#[test]
fn the_lines_that_pg_dump_writes_for_psql_are_skipped() {
    let sql = "--\n-- dump\n--\n\n\\restrict k3y\n\nSELECT 1;\n\\unrestrict k3y\n\n";
    let found = split(sql).unwrap();
    assert_eq!((found.len(), found[0].text, found[0].line), (1, "SELECT 1", 7));
}

#[test]
fn what_is_never_closed_is_refused_where_it_opened() {
    for (sql, what) in [
        ("SELECT 1;\nSELECT 'a''\n;", Unclosed::String),
        ("SELECT 1;\nSELECT E'a\\'\n;", Unclosed::String),
        ("SELECT 1;\nSELECT \"a", Unclosed::QuotedIdentifier),
        ("SELECT 1;\n/* a /* b */", Unclosed::Comment),
        ("SELECT 1;\nSELECT $b$ $a$", Unclosed::DollarQuote("$b$".into())),
        ("SELECT 1;\nSELECT ((1);\n SELECT 2", Unclosed::Parenthesis),
        (
            "SELECT 1;\nCREATE FUNCTION f() BEGIN ATOMIC SELECT CASE 1 WHEN 1 THEN 1;\n END;",
            Unclosed::AtomicBody,
        ),
    ] {
        assert_eq!(split(sql), Err(SplitError::Unclosed { line: 2, what }), "{sql}");
    }
    assert_eq!(split("SELECT 1;\nSELECT '\0'"), Err(SplitError::Nul { line: 2 }));
    assert_eq!(split("\nCOPY t FROM STDIN (FORMAT binary);\n"), Err(SplitError::BinaryCopy { line: 2 }));
    assert_eq!(texts("SELECT 1); SELECT 2"), ["SELECT 1)", "SELECT 2"]);
}

#[test]
fn a_routine_called_begin_takes_the_rest_of_the_file_as_in_psql() {
    let sql = "CREATE FUNCTION begin() RETURNS int AS 'x'; SELECT 1;";
    assert_eq!(texts(sql), [sql]);
}

/// Pieces that mean something to the scanner, glued together at random.
fn fragments() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "SELECT",
        " 1",
        ";",
        ";\n",
        "\n",
        "\r\n",
        " ",
        "'",
        "''",
        "E'",
        "\\'",
        "\"",
        "$$",
        "$a$",
        "$1",
        "--",
        "/*",
        "*/",
        "(",
        ")",
        "CREATE",
        " FUNCTION ",
        "BEGIN",
        " ATOMIC ",
        " CASE ",
        " END",
        "é",
        "日",
        "1e",
        ":a",
        "::",
        "u&",
        "-",
        "/",
        "*",
        "COPY a FROM stdin",
        "\n\\.\n",
        "\\",
        "\\restrict a\n",
        "\u{feff}",
        "b'",
        "\t",
        "a",
        "_",
        ",",
        "\u{b}",
        "\u{a0}",
    ]);
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

fn check(sql: &str) {
    let Ok(statements) = split(sql) else { return };
    let mut resume = 0;
    let mut data_until = 0;
    for statement in &statements {
        assert!(
            statement.start >= resume && statement.start < statement.end && statement.end <= statement.resume
        );
        assert_eq!(&sql[statement.start..statement.end], statement.text);
        assert_eq!(statement.line, line_of(sql, statement.start));
        if statement.start >= data_until {
            only_space_and_comments(statement.leading_comments);
        }
        if let Some(data) = statement.copy_data {
            data_until = data.as_ptr() as usize - sql.as_ptr() as usize + data.len();
        }
        resume = if statement.copy_data.is_some() { statement.end } else { statement.resume };
        let _ = (statement.kind(), statement.transactionality());
    }
    if let Some(last) = statements.last().filter(|last| last.resume >= data_until) {
        only_space_and_comments(&sql[last.resume..]);
    }
    let texts: Vec<_> = statements.iter().map(|s| s.text).collect();
    // A mark at the start would be taken for a byte order mark.
    let mut joined = "\n".to_owned();
    for (index, statement) in statements.iter().enumerate() {
        joined += statement.text;
        if index + 1 < statements.len() {
            joined += ";\n";
        }
        if let Some(data) = statement.copy_data.filter(|_| index + 1 < statements.len()) {
            joined += data;
            joined += if data.is_empty() || data.ends_with('\n') { "\\.\n" } else { "\n\\.\n" };
        }
    }
    let again: Vec<_> = split(&joined).unwrap().iter().map(|s| s.text.to_owned()).collect();
    assert_eq!(texts, again, "{joined:?}");
}

fn only_space_and_comments(text: &str) {
    let text = text.trim_start_matches('\u{feff}');
    let mut lexer = Lexer::new(text);
    while let Ok(Some(token)) = lexer.token() {
        match token.kind {
            TokenKind::Symbol(b';') => {}
            TokenKind::Symbol(b'\\') => {
                lexer.pos = text[token.start..].find('\n').map_or(text.len(), |n| token.start + n);
            }
            _ => panic!("{:?} is in no statement: {text:?}", &text[token.start..token.end]),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_split_without_a_panic(sql in "\\PC*") {
        check(&sql);
    }

    #[test]
    fn any_mixture_of_sql_is_split_into_all_of_its_tokens(sql in fragments()) {
        check(&sql);
    }
}
