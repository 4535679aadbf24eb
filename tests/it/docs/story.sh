# The frame of a page's story; what the page's commands are follows. Steps are sourced, so that what one sets the
# next one has; a file of a step has its commands in the lines where the page has them.
set -eE -o pipefail
trap 'story_failed $? $LINENO "${BASH_SOURCE[0]}"' ERR
# The step, and the line of its last command.
story_step=0 story_line=0

# $1: the code, $2: the line in the file $3. What fails within a substitution is heard of twice: the first knows why.
# What fails as a whole (`a && b`) only does when its file has ended.
story_failed() {
    local line=$story_line
    [[ $3 != "$STORY/$story_step."* ]] || line=$2
    [[ -e $STORY/failed ]] || echo "$story_step $line $1" >"$STORY/failed"
    exit 1
}

# The code $1 of the last command must be $2.
story_ended() {
    [[ $1 == "$2" ]] || story_failed "$1" "$story_line" ""
}

# Where the database is.
story_database() {
    sed -n 's/.*"database": "\(.*\)".*/\1/p' "$BELLWIRE_DATA_DIR/endpoints.json"
}
