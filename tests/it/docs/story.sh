# The frame of a page's story; what the page's commands are follows. Steps are sourced, so that what one sets the
# next one has; a file of a step has its commands in the lines where the page has them.
set -eE -o pipefail
trap 'story_failed $? $LINENO' ERR
story_step=0

# $1: the code, $2: the line. What fails within a substitution is heard of twice: the first knows why.
story_failed() {
    [[ -e $STORY/failed ]] || echo "$story_step $2 $1" >"$STORY/failed"
    exit 1
}

# The code $1 of the last command in line $2 must be $3.
story_ended() {
    [[ $1 == "$3" ]] || story_failed "$1" "$2"
}

# Where the database is.
story_database() {
    sed -n 's/.*"database": "\(.*\)".*/\1/p' "$BELLWIRE_DATA_DIR/endpoints.json"
}
