#include "count.h"

#include <sstream>
#include <stdexcept>

std::map<std::string, int> count(const std::string &text)
{
    std::map<std::string, int> words;
    std::istringstream in(text);
    for (std::string word; in >> word;)
        ++words[word];
    if (words.empty())
        throw std::invalid_argument("no words");
    return words;
}
