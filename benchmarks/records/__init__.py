"""Numbers that take too long for a page: ``python -m benchmarks.records [CHAPTER [RECORD ...]]``.

``chapterNN.py`` holds the records of a chapter, one public function without arguments each: plain
code that trains and measures. Its docstring says what is run; it returns {name: text or number}.
``chapterNN.json`` keeps what they returned, with day, machine, versions, seconds and command.
In the chapter, ``notebook.glue_records("NN")`` makes each result available to the prose, as
``chNN_<record>_<name>``, and ``chNN_<record>_run`` says when and where it was computed.
"""
